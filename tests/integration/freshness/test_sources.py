"""The view and the database say the same of everything there is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.catalog import ArchiveItem, CreateItem
from command_svc.domain.item import Item
from command_svc.domain.levels import LevelKey
from command_svc.domain.lot import LotReceipt
from command_svc.domain.orders import CancelOrder, OrderOutcome, PlaceOrder
from command_svc.domain.reservations import ReserveStock
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, SetStockPolicy
from command_svc.domain.transfers import DispatchedLine, DispatchTransfer
from query_svc.database import Database
from query_svc.database_source import DatabaseSource
from query_svc.index_sql import WALKS
from query_svc.read_model import Span, connect
from tests.integration.command_svc.story import Story
from tests.integration.freshness.world import World
from tests.redis_server import RedisServer
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack
TERMS = Terms(Strategy("PRIORITY"), backorder=True)


async def test_both_sources_say_the_same(
    world: World, story: Story, database: RunningStack, redis: RedisServer
) -> None:
    await everything(story)
    await world.project()
    url = database.postgres_url("query")
    async with (
        connect(redis.url) as view,
        Database(url, connections=1, connect_timeout=5) as source,
        source.snapshot(10) as snapshot,
    ):
        rows = DatabaseSource(snapshot)
        skus = [row["sku"] for row in story.ask("SELECT sku FROM items")]
        assert await rows.items([*skus, "none"]) == await view.items([*skus, "none"])
        assert await rows.levels_of_items(skus) == await view.levels_of_items(skus)
        assert await rows.availability(skus[0]) == await view.availability(skus[0])
        locations = await view.locations()
        assert await rows.locations() == locations
        for location in locations:
            assert await rows.location(location.location_id) == location
        levels = [(one.sku, one.location_id) for some in await view.levels_of_items(skus) for one in some]
        assert await rows.levels([*levels, ("a", "b")]) == await view.levels([*levels, ("a", "b")])
        for kind in ("reservations", "orders", "transfers"):
            ids = [str(row["id"]) for row in story.ask(f"SELECT {kind[:-1]}_id AS id FROM {kind}")]  # noqa: S608
            found = await getattr(view, kind)(ids)
            assert found
            assert await getattr(rows, kind)(ids) == found
        lots = [tuple(row.values()) for row in story.ask("SELECT sku, location_id, lot_id FROM lots")]
        assert len(lots) == 3
        assert await rows.lots(lots) == await view.lots(lots)
        for index in WALKS:
            for descending in (False, True):
                whole = Span(index)
                tails = await view.tails(whole, after=None, count=100, descending=descending)
                assert tails, f"nothing stands in {index}"
                assert await rows.tails(whole, after=None, count=100, descending=descending) == tails
                for tail in tails:
                    for span in spans(index, tail):
                        for after in (None, tail[len(span.prefix) :]):
                            asked = {"after": after, "count": 3, "descending": descending}
                            expected = await view.tails(span, **asked)  # type: ignore[arg-type] # as above
                            assert await rows.tails(span, **asked) == expected  # type: ignore[arg-type]


def spans(index: str, tail: str) -> list[Span]:
    """Return spans with the tail's first part for a prefix, and with the tail for either bound."""
    first, mark, rest = tail.partition("\0")
    within = [Span(index, f"{first}\0"), Span(index, f"{first}\0", rest[:5])] if mark else []
    return [*within, Span(index, "", tail), Span(index, "", "", tail), Span(index, "", first[:13])]


async def everything(story: Story) -> None:
    """Let something of every kind happen, so that no index is empty."""
    mug = await story.item(
        "mug", categories=("home/kitchen", "home/gifts", "sale"), tags=("new",), barcodes=("400",)
    )
    tea, old = await story.item("tea", lot_tracked=True), await story.item("old", categories=("home",))
    await story.all(CreateItem(Item(story.name("mug-red"), "Mug, red", parent_sku=mug)), ArchiveItem(old))
    north, south = await story.place("north"), await story.place("south")
    at_north, at_south = LevelKey(mug, north), LevelKey(mug, south)
    soon = datetime.now(UTC).date() + timedelta(days=9)
    await story.all(
        AddStock(at_north, 9, "RECEIPT"),
        AddStock(at_south, 2, "RECEIPT"),
        SetStockPolicy(at_south, reorder_point=5, backorder_limit=9),
        AddStock(LevelKey(tea, north), 5, "RECEIPT", lot=LotReceipt("a", soon)),
        AddStock(LevelKey(tea, north), 5, "RECEIPT", lot=LotReceipt("b")),
        AddStock(LevelKey(tea, south), 5, "RECEIPT", lot=LotReceipt("a", soon)),
    )
    hour = timedelta(hours=1)
    await story.all(
        ReserveStock((WantedLine(mug, north, 1),), hour, TERMS, channel="web", reference="basket"),
        ReserveStock((WantedLine(tea, north, 6),), hour, TERMS, reference="basket"),
        PlaceOrder((WantedLine(mug, south, 4),), TERMS, reference="W-1"),
    )
    second = await story.one(PlaceOrder((WantedLine(mug, north, 1),), TERMS, reference="W-2"), OrderOutcome)
    await story.all(
        CancelOrder(second.order.order_id),
        DispatchTransfer(north, "", south, (DispatchedLine(mug, 2),), None, "truck"),
        DispatchTransfer("", "ACME", north, (DispatchedLine(mug, 2), DispatchedLine(tea, 1))),
    )
