"""A servicer whose RPCs are answered from the source that is fresh enough, and say so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import ServiceDescriptor
from grpc.aio import ServicerContext

from query_svc.ledger import Ledger
from query_svc.reads import Reads
from query_svc.sources import Source

Context = ServicerContext[Any, Any]
S = TypeVar("S")
Behaviour = Callable[[Any, Context], Awaitable[Any]]


def routed(
    service: ServiceDescriptor,
    servicer: Callable[[Source], S],
    reads: Reads,
    *,
    of_ledger: Mapping[str, Callable[[Ledger], S]] | None = None,
    streams: S | None = None,
) -> S:
    """Return a servicer that answers each RPC as `servicer` does over the source that `reads` choose.

    The RPCs named in `of_ledger` need no source: they are served over the ledger that `reads` choose. Those
    that stream tell what comes, from where it comes: they are those of `streams`.
    """

    def present(name: str) -> Behaviour:
        async def call(request: Any, context: Context) -> Any:  # noqa: ANN401 - any query and its answer
            return await reads.answer(
                request, lambda source: getattr(servicer(source), name)(request, context)
            )

        return call

    def past(name: str, over: Callable[[Ledger], S]) -> Behaviour:
        async def call(request: Any, context: Context) -> Any:  # noqa: ANN401 - any query and its answer
            return await reads.answer_from_ledger(
                request, lambda ledger: getattr(over(ledger), name)(request, context)
            )

        return call

    behaviours = {
        method.name: getattr(streams, method.name) if method.server_streaming else present(method.name)
        for method in service.methods
    }
    behaviours |= {name: past(name, over) for name, over in (of_ledger or {}).items()}
    return cast("S", SimpleNamespace(**behaviours))
