"""A caller may say who it is, within bounds, where nobody asks for more."""

from __future__ import annotations

import pytest

from serving.errors import CallError
from serving.identity import ACTOR_KEY, self_named


def called_by(*metadata: tuple[str, str | bytes]) -> str:
    return self_named((("user-agent", "test"), *metadata)).subject


def test_a_caller_is_who_it_says() -> None:
    assert called_by((ACTOR_KEY, "service:checkout@eu-1")) == "service:checkout@eu-1"


def test_a_caller_that_says_nothing_is_anonymous() -> None:
    assert called_by() == "anonymous"


@pytest.mark.parametrize("name", ["", " alice", "a b", "a\n", "-a", "жук", "a" * 129, b"alice"])
def test_a_name_out_of_bounds_is_refused(name: str | bytes) -> None:
    with pytest.raises(CallError) as refused:
        called_by((ACTOR_KEY, name))
    assert refused.value.metadata == {"field": ACTOR_KEY}
