"""How many of a service run, and where."""

import pytest

from stack.envoy_proxy import all_replicas, replicas, sidecar
from stack.home import REPLICAS_VARIABLE, from_name, from_variables
from stack.ports import MOST_REPLICAS, OFFSETS, SPAN, Ports


def test_each_listener_has_a_port_of_its_own_within_the_stack() -> None:
    assert len(set(OFFSETS.values())) == len(OFFSETS)
    assert max(OFFSETS.values()) < SPAN
    home = from_name("several", Ports(7400), MOST_REPLICAS)
    for name in all_replicas(home):
        for listener in (name, f"{name}-metrics", sidecar(name), f"{sidecar(name)}-admin"):
            assert home.ports[listener] - 7400 in OFFSETS.values()


def test_services_have_as_many_as_asked_for_and_others_one() -> None:
    home = from_name("several", Ports(7400), 2)
    assert replicas(home, "command") == ["command", "command-2"]
    assert replicas(home, "pipeline") == ["pipeline"]
    assert all_replicas(from_name("one", Ports(7400))) == ["command", "query", "pipeline"]


@pytest.mark.parametrize("text", ["0", str(MOST_REPLICAS + 1), "two", "", "01"])
def test_another_number_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REPLICAS_VARIABLE, text)
    with pytest.raises(ValueError, match=REPLICAS_VARIABLE):
        from_variables()
    monkeypatch.setenv(REPLICAS_VARIABLE, "3")
    assert from_variables().replicas == 3
