"""Several command services: one writer for an item, and none that cannot work."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy

import pytest

from tests.deploy.manifests import named, pod_of
from tests.mesh.pods import Pod, probed
from tests.mesh.processes import wait_for
from tests.mesh.world import ADD_STOCK, OURS, PORT, STREAM_STOCK, World

CLUSTER = f"outbound|{PORT}|stable|command.inventory.svc.cluster.local"
ITEMS = [f"SKU-{number}" for number in range(12)]


@pytest.fixture(scope="module")
def pods(world: World) -> Iterator[dict[str, Pod]]:
    """Give the pods of three command services, by their addresses; an ejection lasts a second or two."""
    template = pod_of(named(world.manifests, "Deployment", "command"))
    more = [world.pods.start(f"command-{number}", OURS, template) for number in (2, 3)]
    for pod in more:
        world.serve_as("command", pod)
    rule = named(world.manifests, "DestinationRule", "command")
    short = deepcopy(rule)
    short["spec"]["trafficPolicy"]["outlierDetection"] |= {"interval": "1s", "baseEjectionTime": "1s"}
    world.control.apply([short])
    world.direct("command", world.command, *more)
    found = {pod.address: pod for pod in (world.command, *more)}
    wait_for("three writers", lambda: world.gateway.hosts(CLUSTER).keys() == found.keys())
    yield found
    world.control.apply([rule])
    world.direct("command", world.command)
    wait_for("one writer", lambda: world.gateway.hosts(CLUSTER).keys() == {world.command.address})


def _sent(world: World) -> Counter[str]:
    """Return how many commands the gateway has sent to each address."""
    return Counter(
        {
            address: int(stat.get("value", 0))
            for address, host in world.gateway.hosts(CLUSTER).items()
            for stat in host["stats"]
            if stat["name"] == "rq_total"
        }
    )


def _writers(world: World, token: str, method: str = ADD_STOCK) -> dict[str, str]:
    """Return the address that the command for each item is sent to."""
    found: dict[str, str] = {}
    before = _sent(world)
    for item in ITEMS:
        assert world.call(method, token, x_inventory_item=item).status == "INVALID_ARGUMENT"
        after = _sent(world)
        ((found[item], _),) = (after - before).items()
        before = after
    return found


def _ejections(world: World) -> int:
    name = f"cluster.{CLUSTER}.outlier_detection.ejections_enforced_consecutive_gateway_failure"
    return sum(value for key, value in world.gateway.counters.items() if key.replace(";", "") == name)


def test_commands_of_an_item_go_to_one_pod(world: World, pods: dict[str, Pod]) -> None:
    token = world.token(roles=["administrator"])
    first = _writers(world, token)
    assert len(set(first.values())) > 1
    assert _writers(world, token) == first
    # So does a stream of an item.
    assert _writers(world, token, STREAM_STOCK) == first

    # Who names no item is served by any.
    before = _sent(world)
    for _ in range(30):
        assert world.call(ADD_STOCK, token).status == "INVALID_ARGUMENT"
    assert (_sent(world) - before).keys() == pods.keys()


def test_a_pod_that_cannot_work_is_left_out_until_it_can(world: World, pods: dict[str, Pod]) -> None:
    token = world.token(roles=["administrator"])
    writers = _writers(world, token)
    item, address = next(iter(writers.items()))
    pod = pods[address]
    before, ejections = _sent(world), _ejections(world)
    assert pod.app is not None
    pod.app.send_signal(signal.SIGKILL)
    pod.app.wait()
    wait_for("the end of the service", lambda: not probed(pod, "command"))
    came = Counter[str]()
    try:

        def answered() -> bool:
            came[world.call(ADD_STOCK, token, x_inventory_item=item).status] += 1
            return came["INVALID_ARGUMENT"] > 0

        wait_for("another writer", answered, told=lambda: str(came))
        assert came.keys() == {"UNAVAILABLE", "INVALID_ARGUMENT"}
        assert came["UNAVAILABLE"] >= 5
        assert _ejections(world) > ejections
        # Each command was sent once.
        sent = _sent(world) - before
        assert sent[address] == came["UNAVAILABLE"]
        assert sent.total() == came.total()
    finally:
        world.serve_as("command", pod)
    wait_for("its items' return", lambda: _writers(world, token) == writers)
