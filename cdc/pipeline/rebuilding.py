"""Rebuilds as the pipeline's process does them: asked for once, and gone on with until they are done."""

import asyncio
from datetime import UTC, datetime

import structlog

from cdc.rebuild import RebuildError, RebuildOvertakenError
from cdc.rebuild_work import RebuildUnderWayError, RebuildWork, is_left
from cdc.tables import DatabaseError
from inventory.admin.v1 import pipeline_service_pb2 as pb
from query_svc.read_model import Generations, Phase, Plan, ReadModelUnavailableError, RebuildRecord
from serving import tasks

LOOK_SECONDS = 2.0
ERROR_CHARACTERS = 300

_STATES = {
    Phase.JOINING: pb.REBUILD_STATE_JOINING,
    Phase.FILLING: pb.REBUILD_STATE_COPYING,
    Phase.COMPARING: pb.REBUILD_STATE_COMPARING,
    Phase.SWITCHED: pb.REBUILD_STATE_SWITCHED,
    Phase.REMOVING: pb.REBUILD_STATE_REMOVING,
}

log = structlog.get_logger()


class RebuildRunner:
    """Begins rebuilds, and takes up those that were left, by this process or another one.

    `run` must run meanwhile. What waits for PostgreSQL or Redis is tried again every LOOK_SECONDS.
    """

    def __init__(self, work: RebuildWork, generations: Generations) -> None:
        self._work = work
        # Not those that are worked with: they remember what was read last.
        self._generations = generations
        self._family = generations.family
        self._running: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._trouble = ""

    async def run(self) -> None:
        """Take up what is left, for ever; end what runs when cancelled."""
        try:
            while True:
                try:
                    await self._look()
                except ReadModelUnavailableError as error:
                    log.debug("rebuilds not looked at", cause=str(error))
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            if self._running is not None:
                await tasks.stop(self._running)

    async def start(self, actor: str) -> pb.Rebuild:
        """Begin a rebuild, or go on with the one that was left, and return how it stands.

        Raise RebuildUnderWayError while anybody is at work on one, and ReadModelUnavailableError.
        """
        async with self._one_at_a_time:
            await self._work.take()
            try:
                plan = await self._work.begin(actor, attended=True)
                record = await self._work.rebuilds.record()
            except RebuildOvertakenError as error:
                await self._work.leave()
                raise RebuildUnderWayError from error
            except BaseException:
                await self._work.leave()
                raise
            self._go_on()
        log.warning("rebuild asked for", generation=_generation(self._family, plan), actor=actor)
        return _shown(self._family, plan, record, running=True)

    async def status(self) -> pb.Rebuild | None:
        """Return how the rebuild stands that is under way, or the last one; None if there was none.

        Raise ReadModelUnavailableError.
        """
        plan, record, running = await asyncio.gather(
            self._generations.read(), self._work.rebuilds.record(), self._work.rebuilds.is_taken()
        )
        return _shown(self._family, plan, record, running=running) if plan.number else None

    async def _look(self) -> None:
        async with self._one_at_a_time:
            plan, record = await self._generations.read(), await self._work.rebuilds.record()
            if is_left(plan, record):
                try:
                    await self._work.take()
                except RebuildUnderWayError:
                    return
                log.info("rebuild taken up", generation=_generation(self._family, plan), phase=plan.phase)
                self._go_on()

    def _go_on(self) -> None:
        self._running = tasks.start(self._rebuild(), "rebuild")

    async def _rebuild(self) -> None:
        try:
            plan = await self._work.work(lambda _: None)
        except RebuildOvertakenError as error:
            log.warning("rebuild left to somebody else", cause=str(error))
        except RebuildError as error:
            log.error("rebuild stands still", cause=str(error))  # noqa: TRY400 - the trace says no more
        except (DatabaseError, ReadModelUnavailableError) as error:
            log.warning("rebuild waits", cause=repr(error))
        else:
            log.info("rebuild ended", live=plan.live)


def _generation(family: str, plan: Plan) -> str:
    return f"{family}r{plan.number}"


def _shown(family: str, plan: Plan, record: RebuildRecord | None, *, running: bool) -> pb.Rebuild:
    rebuild = pb.Rebuild(
        generation=_generation(family, plan), running=running, kind=plan.kind, row_count=plan.rows
    )
    if plan.phase in _STATES:
        rebuild.state = _STATES[plan.phase]
    else:
        is_live = plan.live == rebuild.generation
        rebuild.state = pb.REBUILD_STATE_DONE if is_live else pb.REBUILD_STATE_GIVEN_UP
    if record is not None and record.number == plan.number:
        rebuild.actor = record.actor
        rebuild.error = record.error[:ERROR_CHARACTERS]
        rebuild.start_time.FromDatetime(datetime.fromtimestamp(record.start_time, UTC))
        if record.end_time:
            rebuild.end_time.FromDatetime(datetime.fromtimestamp(record.end_time, UTC))
    return rebuild
