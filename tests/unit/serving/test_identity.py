"""A caller may say who it is, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from serving.errors import CallError
from serving.identity import ACTOR_KEY, actor

if TYPE_CHECKING:
    from grpc.aio import ServicerContext


class Caller:
    """A call's context that only knows its metadata."""

    def __init__(self, *metadata: tuple[str, str | bytes]) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self._metadata


def called_by(*metadata: tuple[str, str | bytes]) -> str:
    return actor(cast("ServicerContext[Any, Any]", Caller(("user-agent", "test"), *metadata)))


def test_a_caller_is_who_it_says() -> None:
    assert called_by((ACTOR_KEY, "service:checkout@eu-1")) == "service:checkout@eu-1"


def test_a_caller_that_says_nothing_is_anonymous() -> None:
    assert called_by() == "anonymous"


@pytest.mark.parametrize("name", ["", " alice", "a b", "a\n", "-a", "жук", "a" * 129, b"alice"])
def test_a_name_out_of_bounds_is_refused(name: str | bytes) -> None:
    with pytest.raises(CallError) as refused:
        called_by((ACTOR_KEY, name))
    assert refused.value.metadata == {"field": ACTOR_KEY}
