"""How everything stands: each part is asked at the same time, and one that is away hides no other."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import httpx

from cdc.dead_letter_topic import DeadLettersUnavailableError
from cdc.pipeline.database import DatabaseUnavailableError, PipelineDatabase
from cdc.pipeline.lag import BrokerUnavailableError, Lags
from cdc.pipeline.readers import Readers, state_of
from cdc.pipeline.rebuilding import RebuildRunner
from inventory.admin.v1 import pipeline_service_pb2 as pb
from query_svc.read_model import ReadModel, ReadModelUnavailableError

CAUSE_CHARACTERS = 300

T = TypeVar("T")

_AWAY = (
    BrokerUnavailableError,
    DatabaseUnavailableError,
    DeadLettersUnavailableError,
    ReadModelUnavailableError,
    httpx.HTTPError,
    TimeoutError,
)


class PipelineStatus:
    """Asks the parts; `counts` returns the number of dead letters of each reader."""

    def __init__(  # noqa: PLR0913 - a pipeline has this many parts
        self,
        *,
        lags: Lags,
        readers: Readers,
        database: PipelineDatabase,
        slot_name: str,
        connect: httpx.AsyncClient,
        connector_name: str,
        view: ReadModel,
        rebuilds: RebuildRunner,
        counts: Callable[[], Awaitable[dict[str, int]]],
    ) -> None:
        self._lags = lags
        self._readers = readers
        self._database = database
        self._slot_name = slot_name
        self._connect = connect
        self._connector_name = connector_name
        self._view = view
        self._rebuilds = rebuilds
        self._counts = counts

    async def read(self) -> pb.GetPipelineStatusResponse:
        """Return how everything stands now."""
        answer = pb.GetPipelineStatusResponse()
        answer.as_of.GetCurrentTime()
        away: list[pb.UnavailablePart] = []

        async def ask(part: str, question: Awaitable[T]) -> T | None:
            try:
                return await question
            except _AWAY as error:
                cause = (str(error) or type(error).__name__)[:CAUSE_CHARACTERS]
                away.append(pb.UnavailablePart(part=part, cause=cause))
                return None

        processes, lags, counts, connector, slot, shown = await asyncio.gather(
            self._readers.processes(),
            ask("broker", asyncio.to_thread(self._lags.of, self._readers.names)),
            ask("dead letters", self._counts()),
            ask("connector", self._connector()),
            ask("database", self._database.slot(self._slot_name)),
            ask("read model", self._of_view()),
        )
        for name in self._readers.names:
            reader = answer.readers.add(name=name, state=state_of(processes[name]), processes=processes[name])
            reader.partitions.extend((lags or {}).get(name, ()))
            reader.dead_letter_count = (counts or {}).get(name, 0)
        if connector is not None:
            answer.connector.CopyFrom(connector)
        if slot is not None:
            answer.slot.CopyFrom(slot)
        age, rebuild = shown or (None, None)
        if age is not None:
            answer.view_age.FromTimedelta(age)
        if rebuild is not None:
            answer.rebuild.CopyFrom(rebuild)
        answer.unavailable.extend(sorted(away, key=lambda one: one.part))
        return answer

    async def _of_view(self) -> tuple[timedelta | None, pb.Rebuild | None]:
        return await asyncio.gather(self._age(), self._rebuilds.status())

    async def _age(self) -> timedelta | None:
        """Return since when the view lacks something that is committed; None if it tells nothing yet."""
        newest = await self._view.newest_mark()
        if newest is None:
            return None
        try:
            missing = await self._database.committed_after(newest.as_of)
        except DatabaseUnavailableError:
            # Named already, by whoever asked for the slot.
            return None
        if missing is None:
            return timedelta(0)
        return max(timedelta(0), datetime.now(UTC) - missing)

    async def _connector(self) -> pb.ConnectorStatus | None:
        response = await self._connect.get(f"/connectors/{self._connector_name}/status")
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        status = response.raise_for_status().json()
        tasks = [
            pb.ConnectorTask(
                task_id=task["id"],
                state=task["state"],
                cause=next(iter(task.get("trace", "").splitlines()), "")[:CAUSE_CHARACTERS],
            )
            for task in status["tasks"]
        ]
        return pb.ConnectorStatus(state=status["connector"]["state"], tasks=tasks)
