"""The process that watches over the pipeline: it proves ledger, rows and read model all the time."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from cdc.config import PipelineSettings
from cdc.reconcile import Reconciler
from query_svc.read_model import connect
from serving import logs, server, settings
from serving.health import Dependency


class ReconciliationError(Exception):
    """The reconciliation cannot go on at present; the message says why."""


@asynccontextmanager
async def assemble(config: PipelineSettings) -> AsyncIterator[server.GrpcServer]:
    """Run the reconciliation while its health server is in use. Raise at the end what stopped it."""
    async with connect(config.redis_url.get_secret_value(), generation=config.generation) as view:
        reconciler = Reconciler(
            config.database_url.get_secret_value(), view, interval=config.reconcile_seconds
        )

        async def check() -> None:
            if reconciler.status.trouble:
                raise ReconciliationError(reconciler.status.trouble)

        running = asyncio.create_task(reconciler.run(), name="reconciliation")
        running.add_done_callback(_end_process)
        try:
            yield server.GrpcServer(
                config, [], dependencies=[Dependency("reconciliation", check)], unavailable={}
            )
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def _end_process(reconciliation: asyncio.Task[None]) -> None:
    """End the process of a reconciliation that has broken: whoever keeps the process sees that."""
    if not reconciliation.cancelled() and reconciliation.exception() is not None:
        signal.raise_signal(signal.SIGTERM)


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    config = settings.load(PipelineSettings)
    logs.configure(config.log_level, "pipeline")
    server.run(partial(assemble, config))
