"""Interceptors that put a behaviour of their own around that of each method."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = grpc.RpcMethodHandler[Any, Any]

__all__ = ["Behaviour", "Kind", "Reader", "WrappingInterceptor"]

Kind: TypeAlias = Literal["unary_unary", "unary_stream", "stream_unary", "stream_stream"]
Behaviour: TypeAlias = "Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Any]"
"""A coroutine, or of streams an asynchronous generator: takes the request or requests, and the context."""

Reader: TypeAlias = "Callable[[bytes], Any] | None"
"""Makes a request of its bytes; None leaves them as they are."""

_MAKERS: dict[Kind, Callable[..., Handler]] = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "unary_stream": grpc.unary_stream_rpc_method_handler,
    "stream_unary": grpc.stream_unary_rpc_method_handler,
    "stream_stream": grpc.stream_stream_rpc_method_handler,
}


class WrappingInterceptor(grpc.aio.ServerInterceptor):
    """Serves each method by what `around` makes of its behaviour, once for each handler."""

    def __init__(self) -> None:
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}

    @abstractmethod
    def around(self, method: str, kind: Kind, behaviour: Behaviour) -> Behaviour:
        """Return the behaviour that a method, named as in "/package.Service/Method", is to have."""

    def reader(self, _method: str, deserialize: Reader) -> Reader:
        """Return what is to read the requests of a method, made of what would."""
        return deserialize

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the method's handler with that around it."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        # The same handler comes back for every call of a method.
        known = self._wrapped.get(method)
        if known is not None and known[0] is handler:
            return known[1]
        # A handler has exactly one of them.
        (kind,) = [kind for kind in _MAKERS if getattr(handler, kind) is not None]
        wrapped = _MAKERS[kind](
            self.around(method, kind, getattr(handler, kind)),
            request_deserializer=self.reader(method, handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )
        self._wrapped[method] = (handler, wrapped)
        return wrapped
