"""The whole show, from an empty shop to the proof."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from client import InventoryClient, Tls, TokenSource
from demo import commits, opening, probe, proof, report, tour
from demo.books import Books
from demo.commits import Commits
from demo.events import Source
from demo.levels import read_up_to_date
from demo.measure import Measurements
from demo.orders import OrderFile
from demo.plan import Plan, survey
from demo.probe import Probe
from demo.selling import Selling
from demo.till import Till
from query_svc import read_model

# One deadline for all attempts of a call: long enough to ride out the restart of a service.
TIMEOUT = 30.0
PROBE_PAUSE = 0.05
QUIET_SAMPLES = 100
QUIET_PAUSE = 0.01
BROWSE_PAUSE = 0.02
# Everything runs on this machine's clock; the margin is for a step of it.
LEDGER_MARGIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where the show takes place.

    address: host:port of all services, reached by `tls`. sign_in: gives a name's source of access tokens,
    None where the services ask for none. database: URL of Postgres for a role that may read the ledger.
    redis: URL of the read model. clients: how many tills sell at once, each with a connection of its own.
    """

    address: str
    tls: Tls | None
    sign_in: Callable[[str], TokenSource] | None
    database: str
    redis: str
    clients: int


class NothingToSellError(Exception):
    """The source has no line that takes anything from the stock."""


class Show:
    """One run over a source of orders. Every command of the run has its id as actor in the ledger."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a show is put together from
        self,
        console: Console,
        source: Source,
        clients: list[InventoryClient],
        ledger: Commits,
        check_stores: Callable[[], Awaitable[proof.Check]],
        run_id: str,
    ) -> None:
        self._console = console
        self._source = source
        self._clients = clients
        self._client = clients[0]
        self._ledger = ledger
        self._check_stores = check_stores
        self._run_id = run_id
        self._measured = Measurements()

    async def run(self) -> bool:
        """Run the show; return whether everything was proved."""
        since = datetime.now(UTC) - LEDGER_MARGIN
        plan = survey(self._source)
        self._console.print(
            f"[bold]{plan.orders:,} orders[/bold] with {plan.lines:,} lines on {plan.days:,} days,"
            f" for {len(plan.items):,} items (run {self._run_id})",
            soft_wrap=True,
        )
        if not plan.target:
            if isinstance(self._source, OrderFile):
                report.show_intake(self._console, self._source.intake)
            raise NothingToSellError("nothing leaves the shop in these orders")
        books = await self._open(plan)
        await self._sell(plan, books)
        checks = [
            await proof.check_view(self._client, books),
            await proof.check_ledger(self._ledger, books, self._run_id, since),
            await self._check_stores(),
        ]
        best_seller = max(plan.target, key=lambda level: plan.target[level])[0]
        tour.show_refusal(self._console, await tour.oversell(self._client, best_seller))
        await tour.show_item(self._console, self._client, best_seller)
        if isinstance(self._source, OrderFile):
            checks.append(proof.check_intake(self._source.intake, plan.lines))
            report.show_intake(self._console, self._source.intake)
        report.show_measurements(self._console, self._measured)
        report.show_checks(self._console, checks)
        return not any(check.fault_count for check in checks)

    async def _open(self, plan: Plan) -> Books:
        """Create what is missing, read where the levels stand, receive the opening stock."""
        start = time.monotonic()
        places = await opening.create_locations(self._client)
        items = await opening.create_items(self._clients, [*plan.items.values(), probe.ITEM])
        self._say(
            f"{places.new} locations and {items.new:,} items created"
            f" ({places.there} and {items.there:,} were there)",
            start,
        )
        start = time.monotonic()
        books = Books(await self._ledger.standings([*plan.items, probe.ITEM.sku]))
        received = list(opening.opening_stock(plan, books))
        await Till(self._client, books, self._measured).batch(received, f"{self._run_id}/opening")
        # From here on shoppers look: what they may ask for has to be there.
        await read_up_to_date(self._client, list(books), books, proof.PATIENCE)
        units = sum(command.add.quantity for command in received)
        self._say(f"opening stock received and visible: {units:,} units on {len(received):,} levels", start)
        return books

    async def _sell(self, plan: Plan, books: Books) -> None:
        """Sell all days, with the probe and a few shoppers beside; then probe once more in the quiet."""
        selling = Selling(self._run_id, self._clients, books, self._measured, plan)
        timer = Probe(self._client, books, self._measured.queries)
        stop = asyncio.Event()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("orders, {task.fields[speed]:,.0f} commands/s,"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task("selling", total=plan.orders, speed=0.0)
            before, start = self._measured.commands, time.monotonic()

            def sold(day: date) -> None:
                speed = (self._measured.commands - before) / (time.monotonic() - start)
                progress.update(task, advance=1, description=f"selling {day}", speed=speed)

            async with asyncio.TaskGroup() as group:
                group.create_task(timer.run(stop, PROBE_PAUSE))
                group.create_task(
                    probe.browse(self._client, list(plan.items), self._measured.queries, stop, BROWSE_PAUSE)
                )
                await selling.run(self._source, sold)
                stop.set()
        await timer.collect(self._ledger, self._measured.visible_busy)
        await timer.run(asyncio.Event(), QUIET_PAUSE, QUIET_SAMPLES)
        await timer.collect(self._ledger, self._measured.visible_quiet)

    def _say(self, what: str, start: float) -> None:
        self._console.print(f"{what}, {time.monotonic() - start:.1f} s")


async def run(setting: Setting, source: Source, console: Console) -> bool:
    """Run the show; return whether everything was proved.

    Raises NothingToSellError, client.InventoryError, psycopg.Error, ReadModelUnavailableError,
    demo.orders.OrderFileError, demo.probe.NotVisibleError and demo.tour.OversoldError, those of concurrent
    tasks in an exception group.
    """
    run_id = f"demo-{uuid.uuid4().hex[:8]}"
    token = setting.sign_in(run_id) if setting.sign_in else None
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                InventoryClient(setting.address, tls=setting.tls, actor=run_id, token=token, timeout=TIMEOUT)
            )
            for _ in range(setting.clients)
        ]
        ledger = await stack.enter_async_context(commits.connect(setting.database))
        view = await stack.enter_async_context(read_model.connect(setting.redis))

        def check_stores() -> Awaitable[proof.Check]:
            return proof.check_stores(setting.database, view)

        return await Show(console, source, clients, ledger, check_stores, run_id).run()
