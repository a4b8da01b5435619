"""The process that watches over the pipeline: it serves PipelineService, and proves all books as it runs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TypeVar

import httpx
from prometheus_client.metrics_core import Metric

from audit import books
from cdc.config import PipelineSettings
from cdc.dead_letter_topic import DeadLettersUnavailableError, DeadLetterTopic
from cdc.pipeline.database import PipelineDatabase
from cdc.pipeline.lag import Lags
from cdc.pipeline.letters import Letters
from cdc.pipeline.metrics import pipeline_metrics, reconciliation_metrics
from cdc.pipeline.readers import Readers
from cdc.pipeline.rebuilding import RebuildRunner
from cdc.pipeline.service import Pipeline
from cdc.pipeline.status import PipelineStatus
from cdc.publisher import Publisher, PublishError
from cdc.rebuild_work import RebuildWork
from cdc.reconcile import Reconciler
from inventory.admin.v1.pipeline_service_pb2_grpc import add_PipelineServiceServicer_to_server
from query_svc.read_model import ReadModelUnavailableError, Retention, connect, connect_generations
from serving import logs, server, settings, tasks
from serving.health import Dependency
from serving.metrics import AskedMetrics

T = TypeVar("T")

AUDITED = (
    "/inventory.admin.v1.PipelineService/ReplayDeadLetters",
    "/inventory.admin.v1.PipelineService/DiscardDeadLetters",
    "/inventory.admin.v1.PipelineService/StartRebuild",
)
"""The commands among the methods."""


class ReconciliationError(Exception):
    """The reconciliation cannot go on at present; the message says why."""


@asynccontextmanager
async def assemble(config: PipelineSettings) -> AsyncIterator[server.GrpcServer]:
    """Yield the server, not yet listening; close what it stands on afterwards."""
    topic = DeadLetterTopic(config.bootstrap_servers, config.dead_letters_topic)
    letters = Letters(topic, partial(Publisher, config.bootstrap_servers, config.transactional_id))
    lags = Lags(config.bootstrap_servers, config.topic, config.ask_seconds)
    readers = Readers(_addresses(config.readers), config.ask_seconds)
    database_url, redis_url = config.database_url.get_secret_value(), config.redis_url.get_secret_value()
    family, retention = config.generation, Retention(timedelta(days=config.closed_days))
    view = connect(redis_url, generation=family, timeout=config.ask_seconds)
    # What reads the topic of dead letters is one consumer: one thing after the other.
    thread = ThreadPoolExecutor(1, "dead letters")

    async def call(function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, function)

    async with (
        httpx.AsyncClient(base_url=config.connect_url, timeout=config.ask_seconds, trust_env=False) as rest,
        view,
        books.opened(config.audit_database_url) as audit,
        connect_generations(redis_url, family=family, timeout=config.ask_seconds) as generations,
        RebuildWork(database_url, redis_url, family, retention=retention) as work,
    ):
        reconciler = Reconciler(database_url, view, interval=config.reconcile_seconds, retention=retention)
        rebuilds = RebuildRunner(work, generations)

        async def reconciling() -> None:
            if reconciler.status.trouble:
                raise ReconciliationError(reconciler.status.trouble)

        running = [
            tasks.start(reconciler.run(), "reconciliation"),
            tasks.start(rebuilds.run(), "rebuilds"),
        ]
        status = PipelineStatus(
            lags=lags,
            readers=readers,
            database=PipelineDatabase(database_url, config.ask_seconds),
            slot_name=config.slot_name,
            connect=rest,
            connector_name=config.connector_name,
            view=view,
            rebuilds=rebuilds,
            counts=lambda: asyncio.wait_for(call(letters.counts), config.ask_seconds),
        )

        async def metrics() -> Sequence[Metric]:
            return [
                *pipeline_metrics(await status.read()),
                *reconciliation_metrics(reconciler.status),
            ]

        pipeline = Pipeline(status, letters, call, rebuilds, reconciler.status)
        try:
            yield server.GrpcServer(
                config,
                [
                    server.Service(
                        "inventory.admin.v1.PipelineService",
                        partial(add_PipelineServiceServicer_to_server, pipeline),
                    )
                ],
                # The status is told without any of them.
                dependencies=[
                    Dependency("broker", lambda: asyncio.to_thread(lags.ask), required=False),
                    Dependency("reconciliation", reconciling, required=False),
                    *audit.health,
                ],
                recorder=audit.recorder,
                naming=audit.naming,
                audited=AUDITED,
                unavailable={
                    DeadLettersUnavailableError: "broker",
                    PublishError: "broker",
                    ReadModelUnavailableError: "read model",
                },
                collectors=[AskedMetrics(metrics, 2 * config.ask_seconds)],
            )
        finally:
            try:
                await tasks.stop(*running)
            finally:
                await readers.close()
                await call(topic.close)
                await call(lags.close)
                thread.shutdown()


def _addresses(readers: str) -> dict[str, list[str]]:
    """Return the addresses of each reader in GROUP=HOST:PORT, separated by commas."""
    found: dict[str, list[str]] = {}
    for one in readers.split(","):
        name, address = one.split("=", 1)
        found.setdefault(name, []).append(address)
    return found


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    config = settings.load(PipelineSettings)
    logs.configure(config.log_level, "pipeline")
    # It logs each request otherwise.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    server.run(partial(assemble, config))
