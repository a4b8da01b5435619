"""Metrics: a page for Prometheus at http://HOST:PORT/metrics, on the loopback, of each process by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from concurrent.futures import Future

    from prometheus_client.metrics_core import Metric

__all__ = ["AskedMetrics", "Collector", "MetricsPage"]


class MetricsPage:
    """The figures of the process itself, such as its memory, and those of `collectors`.

    It is served from a thread of its own, from its making until `close`. Raises OSError when the address
    cannot be listened on.
    """

    def __init__(self, host: str, port: int, collectors: Sequence[Collector]) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        for collector in collectors:
            registry.register(collector)
        self._server, self._thread = start_http_server(port, host, registry)
        self.port: int = self._server.server_port

    async def close(self) -> None:
        """Serve no more."""
        # Whoever is asked meanwhile may need this loop.
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()
        self._thread.join()


class AskedMetrics(Collector):
    """Metrics that a coroutine tells, in the event loop that this is made in, whenever the page is read.

    One question at a time; `timeout` seconds for it, then the page is answered with an error.
    """

    def __init__(self, ask: Callable[[], Awaitable[Sequence[Metric]]], timeout: float) -> None:
        self._ask = ask
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._one_at_a_time = asyncio.Lock()

    def collect(self) -> Iterable[Metric]:
        """Return the metrics; called from the page's thread."""
        asked: Future[Sequence[Metric]] = asyncio.run_coroutine_threadsafe(self._asked(), self._loop)
        return asked.result()

    async def _asked(self) -> Sequence[Metric]:
        async with asyncio.timeout(self._timeout), self._one_at_a_time:
            return await self._ask()
