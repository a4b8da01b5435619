"""`python -m cdc rebuild`: from its beginning or from where it was left, with its progress shown."""

import asyncio
import sys
import time
from datetime import timedelta

from rich.console import Console

from cdc.config import ReconcileSettings
from cdc.rebuild import RebuildError
from cdc.rebuild_work import RebuildUnderWayError, RebuildWork
from cdc.tables import DatabaseError
from query_svc.read_model import LEASE_SECONDS, Phase, Plan, ReadModelUnavailableError, Retention
from serving import settings

SHOW_SECONDS = 1.0
POLL_SECONDS = 0.2
TAKE_SECONDS = LEASE_SECONDS + 1
ACTOR = "console"

_WORDS = {
    Phase.IDLE: "{live} is live",
    Phase.JOINING: "the projector is to write {other} too",
    Phase.FILLING: "{other} is filled with {kind}",
    Phase.COMPARING: "{other} is compared with {kind}",
    Phase.SWITCHED: "{live} is live; waiting until nobody reads {other}",
    Phase.REMOVING: "{other} is removed",
}


class Progress:
    """Shows each new phase and kind, and from time to time how many rows or keys are done."""

    def __init__(self) -> None:
        self._console = Console()
        self._shown = ""
        self._next = 0.0

    def show(self, plan: Plan) -> None:
        """Show a plan, unless it says little new."""
        words = _WORDS[plan.phase].format(live=plan.live, other=plan.other, kind=plan.kind)
        if words != self._shown or time.monotonic() >= self._next:
            self._shown, self._next = words, time.monotonic() + SHOW_SECONDS
            self._console.print(f"{words}: {plan.rows:,}" if plan.rows else words, highlight=False)


def main(*, give_up: bool) -> None:
    """Rebuild, or give up the rebuild that was begun; exit code 1 with the reason where it cannot go on."""
    config = settings.load(ReconcileSettings)

    async def run() -> None:
        async with RebuildWork(
            config.database_url.get_secret_value(),
            config.redis_url.get_secret_value(),
            config.generation,
            retention=Retention(timedelta(days=config.closed_days)),
        ) as work:
            if give_up:
                await work.give_up()
            await _take(work)
            await work.begin(ACTOR, attended=False)
            await work.work(Progress().show)

    try:
        asyncio.run(run())
    except RebuildUnderWayError:
        sys.exit("Another process is at work on it: PipelineService/GetPipelineStatus tells how far it is.")
    except (RebuildError, DatabaseError, ReadModelUnavailableError) as error:
        sys.exit(f"the rebuild stands still: {error}. Run it again to go on.")
    except KeyboardInterrupt:
        sys.exit("Interrupted. Run it again to go on.")


async def _take(work: RebuildWork) -> None:
    """Be the one at work, as soon as one that was killed is known to be. Raise RebuildUnderWayError."""
    deadline = time.monotonic() + TAKE_SECONDS
    while True:
        try:
            return await work.take()
        except RebuildUnderWayError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(POLL_SECONDS)
