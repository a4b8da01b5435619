"""Requests that are no message of their method: they are refused like any other, not by gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError

from inventory.type.v1 import error_reason_pb2
from serving.errors import CallError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["UNREADABLE", "readable", "reading"]

UNREADABLE = Empty()
"""Stands for such a request, until it is known who has sent it."""


def reading(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return what reads as `deserialize` does, and returns UNREADABLE for what that cannot read.

    Left to gRPC, the answer would be UNKNOWN, with the exception in its message.
    """

    def read(data: bytes) -> object:
        try:
            return deserialize(data)
        except DecodeError:
            return UNREADABLE

    return read


def readable(request: Any) -> Any:  # noqa: ANN401 - of any method
    """Return a request that can be read, or messages that raise in the place of one that cannot.

    Raises CallError INVALID_FIELD.
    """
    if request is UNREADABLE:
        raise CallError(
            error_reason_pb2.ERROR_REASON_INVALID_FIELD, "the request is no message of this method"
        )
    return _Messages(request) if isinstance(request, AsyncIterator) else request


class _Messages:
    """The messages of a stream; read on after a reader was cancelled, as a generator could not be."""

    def __init__(self, messages: AsyncIterator[Any]) -> None:
        self._messages = messages

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> object:
        return readable(await anext(self._messages))
