"""`python -m cdc rebuild`: from its beginning or from where it was left, with its progress shown."""

import asyncio
import sys
import time
from datetime import timedelta
from functools import partial

from rich.console import Console

from cdc.config import ReconcileSettings
from cdc.rebuild import RebuildError, Tools, abandon, rebuild
from cdc.tables import DatabaseError, connect_database
from query_svc.read_model import (
    Phase,
    Plan,
    ReadModelUnavailableError,
    Retention,
    connect_generations,
    connect_maintenance,
)
from serving import settings

SHOW_SECONDS = 1.0

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
    redis_url = config.redis_url.get_secret_value()

    async def run() -> None:
        async with (
            await connect_database(config.database_url.get_secret_value()) as connection,
            connect_generations(redis_url, family=config.generation) as generations,
        ):
            tools = Tools(
                connection,
                generations,
                partial(connect_maintenance, redis_url),
                retention=Retention(timedelta(days=config.closed_days)),
            )
            if give_up:
                await abandon(tools)
            await rebuild(tools, Progress().show)

    try:
        asyncio.run(run())
    except (RebuildError, DatabaseError, ReadModelUnavailableError) as error:
        sys.exit(f"the rebuild stands still: {error}. Run it again to go on.")
    except KeyboardInterrupt:
        sys.exit("Interrupted. Run it again to go on.")
