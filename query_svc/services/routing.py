"""A servicer whose RPCs are answered from the source that is fresh enough, and say so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import ServiceDescriptor
from grpc.aio import ServicerContext

from query_svc.reads import Reads
from query_svc.sources import Source

Context = ServicerContext[Any, Any]
S = TypeVar("S")


def routed(
    service: ServiceDescriptor,
    servicer: Callable[[Source], S],
    reads: Reads,
    *,
    of_ledger: Collection[str] = (),
    streams: S | None = None,
) -> S:
    """Return a servicer that answers each RPC as `servicer` does over the source that `reads` choose.

    The RPCs named in `of_ledger` need no source: they read the ledger, which is never behind. Those that
    stream tell what comes, from where it comes: they are those of `streams`.
    """

    def behaviour(name: str) -> Callable[[Any, Context], Awaitable[Any]]:
        ask = reads.answer_from_ledger if name in of_ledger else reads.answer

        async def call(request: Any, context: Context) -> Any:  # noqa: ANN401 - any query and its answer
            return await ask(request, lambda source: getattr(servicer(source), name)(request, context))

        return call

    behaviours = {
        method.name: getattr(streams, method.name) if method.server_streaming else behaviour(method.name)
        for method in service.methods
    }
    return cast("S", SimpleNamespace(**behaviours))
