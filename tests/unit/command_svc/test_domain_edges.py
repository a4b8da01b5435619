"""What the rules say at their edges, one case each."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.batch import Request, Stamp, Submission, decide
from command_svc.domain.catalog import ArchiveItem, CreateItem, DeactivateLocation, UpdateLocation
from command_svc.domain.commands import Command, Outcome
from command_svc.domain.item import BUNDLE, Item
from command_svc.domain.levels import LevelKey
from command_svc.domain.lot import LotChoice, LotKey, LotReceipt
from command_svc.domain.orders import FulfillOrder, OrderedUnits, PlaceOrder
from command_svc.domain.refusals import Refusal
from command_svc.domain.reservations import ConfirmedLine, ConfirmReservation, ReserveStock
from command_svc.domain.returns import ReturnedUnits, ReturnOrder
from command_svc.domain.scope import Scope
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, RemoveStock, SetStockPolicy
from command_svc.domain.transfers import (
    ArrivedLine,
    CancelTransfer,
    DispatchedLine,
    DispatchTransfer,
    ReceiveTransfer,
)
from tests.unit.command_svc.making import MUG, MUG_AT_STORE, request, submission
from tests.unit.command_svc.memory_store import MemoryStore

MILK = LevelKey("MILK", "WH")
MILK_AT_STORE = LevelKey("MILK", "ST")
LATE, EARLY = date(2026, 3, 1), date(2026, 2, 1)
TERMS = Terms(Strategy("PRIORITY"))
WAITING = TERMS._replace(backorder=True)


@pytest.fixture
def store() -> MemoryStore:
    """Give a store that also has MILK, which is kept in lots."""
    store = MemoryStore()
    do(store, CreateItem(Item("MILK", "Milk", lot_tracked=True)))
    return store


def do(store: MemoryStore, command: Command) -> Any:  # noqa: ANN401 - the command's outcome
    """Carry a command out in a transaction of its own; return its outcome, or why it is refused."""
    outcomes: list[Outcome] = []

    def encode(outcome: Outcome, _stamp: Stamp | None) -> bytes:
        outcomes.append(outcome)
        return b""

    asked = request(command)
    both = Submission((Request(asked.request_id, asked.fingerprint, asked.actor, command, encode),))
    working = store.read(Scope.of([both]))
    (verdict,) = decide(working, both)
    store.keep(working)
    return verdict if isinstance(verdict, Refusal) else outcomes[0]


def reason(store: MemoryStore, command: Command) -> str:
    """Return why a command is refused, "" if it is not."""
    outcome = do(store, command)
    return outcome.reason if isinstance(outcome, Refusal) else ""


def add(store: MemoryStore, key: LevelKey, units: int, lot: LotReceipt | None = None) -> None:
    """Add units."""
    assert reason(store, AddStock(key, units, "RECEIPT", lot=lot)) == ""


def place(store: MemoryStore, key: LevelKey, units: int, terms: Terms = TERMS) -> Any:  # noqa: ANN401 - an order
    """Place an order of one line and return it."""
    return do(store, PlaceOrder((WantedLine(*key, units),), terms)).order


def on_hand(store: MemoryStore, key: LevelKey) -> dict[str, int]:
    """Return what is there of each lot."""
    return {lot.key.lot_id: lot.on_hand for lot in store.lots.values() if lot.key.level == key}


def test_promised_lots_leave_first_expired_first(store: MemoryStore) -> None:
    for lot in (LotReceipt("A", LATE), LotReceipt("B", EARLY), LotReceipt("C")):
        add(store, MILK, 2, lot)
    order = place(store, MILK, 4)
    hold = do(store, ReserveStock((WantedLine(*MILK, 2),), timedelta(hours=1), TERMS)).reservation
    assert {one.lot_id for one in order.allocations} == {"A", "B"}
    do(store, FulfillOrder(order.order_id, (OrderedUnits(MILK, 1),)))
    assert on_hand(store, MILK) == {"A": 2, "B": 1, "C": 2}
    do(store, ConfirmReservation(hold.reservation_id, (ConfirmedLine(MILK, 1),)))
    assert on_hand(store, MILK) == {"A": 2, "B": 1, "C": 1}


def test_a_promise_of_a_lot_that_is_not_known_says_so(store: MemoryStore) -> None:
    add(store, MILK, 2, LotReceipt("A"))
    wanted = (WantedLine(*MILK, 1, "NO"),)
    assert reason(store, ReserveStock(wanted, timedelta(hours=1), TERMS)) == "LOT_NOT_FOUND"


def test_a_bundle_with_an_archived_part_is_no_more_to_be_had_anywhere(store: MemoryStore) -> None:
    do(store, CreateItem(Item("SET", "Set", kind=BUNDLE, counted=False, components=(("MUG", 1), ("PEN", 1)))))
    add(store, MUG, 5)
    do(store, ArchiveItem("PEN"))
    for place_ in (None, "WH"):
        wanted = (WantedLine("SET", place_, 1),)
        assert reason(store, ReserveStock(wanted, timedelta(hours=1), TERMS)) == "ITEM_ARCHIVED"


def test_an_item_that_is_only_on_its_way_is_in_use(store: MemoryStore) -> None:
    do(store, DispatchTransfer("", "ACME", "WH", (DispatchedLine("MUG", 2),)))
    assert do(store, ArchiveItem("MUG")).figures["in_transit"] == "2"


def test_what_comes_back_to_be_written_off_needs_no_open_location(store: MemoryStore) -> None:
    add(store, MUG, 2)
    order = place(store, MUG, 2)
    do(store, FulfillOrder(order.order_id))
    do(store, DeactivateLocation("WH"))
    back = ReturnedUnits(MUG, 1)
    assert reason(store, ReturnOrder(order.order_id, (back,))) == "LOCATION_INACTIVE"
    assert reason(store, ReturnOrder(order.order_id, (back._replace(write_off_reason="DAMAGE"),))) == ""
    assert store.levels[MUG].on_hand == 0


def test_what_comes_back_of_several_lots_names_its_own(store: MemoryStore) -> None:
    add(store, MILK, 2, LotReceipt("A", LATE))
    add(store, MILK, 2, LotReceipt("B", EARLY))
    order = place(store, MILK, 4)
    do(store, FulfillOrder(order.order_id))
    back = ReturnedUnits(MILK, 1)
    assert reason(store, ReturnOrder(order.order_id, (back,))) == "LOT_REQUIRED"
    assert reason(store, ReturnOrder(order.order_id, (back._replace(lot=LotReceipt("B")),))) == ""
    assert on_hand(store, MILK) == {"A": 0, "B": 1}


def test_what_comes_back_takes_the_date_known_where_it_comes_to(store: MemoryStore) -> None:
    add(store, MILK, 2, LotReceipt("A", LATE))
    add(store, MILK_AT_STORE, 2, LotReceipt("A", EARLY))
    order = place(store, MILK, 2)
    do(store, FulfillOrder(order.order_id))
    assert reason(store, ReturnOrder(order.order_id, (ReturnedUnits(MILK_AT_STORE, 1),))) == ""
    assert store.lots[LotKey(*MILK_AT_STORE, "A")].expiry_date == EARLY


def test_what_comes_back_names_no_lot_where_none_are_kept(store: MemoryStore) -> None:
    add(store, MUG, 2)
    order = place(store, MUG, 2)
    do(store, FulfillOrder(order.order_id))
    back = ReturnedUnits(MUG, 1, LotReceipt("A"))
    assert reason(store, ReturnOrder(order.order_id, (back,))) == "LOT_NOT_TRACKED"


def test_units_that_come_back_to_an_order_that_waits_are_in_its_answer(store: MemoryStore) -> None:
    do(store, SetStockPolicy(MUG, backorder_limit=5))
    add(store, MUG, 2)
    order = place(store, MUG, 3, WAITING)
    do(store, FulfillOrder(order.order_id))
    answer = do(store, ReturnOrder(order.order_id, (ReturnedUnits(MUG, 1),))).order
    assert answer == store.orders[order.order_id]
    assert [one.reserved for one in answer.allocations] == [1]


def test_a_transfer_that_is_closed_without_lines_brings_nothing(store: MemoryStore) -> None:
    add(store, MUG, 5)
    sent = do(store, DispatchTransfer("WH", "", "ST", (DispatchedLine("MUG", 3),))).transfer
    closed = do(store, ReceiveTransfer(sent.transfer_id, (), "LOSS")).transfer
    assert (closed.state, closed.lines[0].received, closed.lines[0].written_off) == ("RECEIVED", 0, 3)
    assert (store.levels[MUG_AT_STORE].on_hand, store.levels[MUG_AT_STORE].in_transit) == (0, 0)


@pytest.mark.parametrize(
    ("change", "chosen"),
    [
        (DeactivateLocation("ST"), "WH"),
        (UpdateLocation("ST", {"ships_online_orders": False}), "WH"),
        (UpdateLocation("ST", {"priority": 9}), "WH"),
        (UpdateLocation("ST", {"name": "Shop"}), "ST"),
        (DeactivateLocation("NO"), "ST"),
    ],
)
def test_a_location_that_has_changed_in_the_same_transaction_serves_as_it_is(
    store: MemoryStore, change: Command, chosen: str
) -> None:
    do(store, UpdateLocation("WH", {"priority": 5}))
    add(store, MUG, 1)
    add(store, MUG_AT_STORE, 1)
    asked = submission(change, PlaceOrder((WantedLine("MUG", None, 1),), TERMS))
    working = store.read(Scope.of([asked]))
    decide(working, asked)
    (order,) = working.orders.values()
    assert [one.key.location_id for one in order.allocations] == [chosen]


def half_known(store: MemoryStore) -> Any:  # noqa: ANN401 - a transfer
    """Send three units of a lot, one of them known by its serial."""
    add(store, MILK, 1, LotReceipt("A", LATE, ("S1",)))
    add(store, MILK, 2, LotReceipt("A"))
    lines = (DispatchedLine("MILK", 1, LotChoice("A", ("S1",))), DispatchedLine("MILK", 2))
    return do(store, DispatchTransfer("WH", "", "ST", lines)).transfer


@pytest.mark.parametrize("lines", [(), (ArrivedLine("MILK", 3),), (ArrivedLine("MILK", 3, LotReceipt("A")),)])
def test_units_with_and_without_serials_arrive_together(
    store: MemoryStore, lines: tuple[ArrivedLine, ...]
) -> None:
    sent = half_known(store)
    assert reason(store, ReceiveTransfer(sent.transfer_id, lines)) == ""
    lot = store.lots[LotKey(*MILK_AT_STORE, "A")]
    assert (lot.on_hand, lot.serials, lot.expiry_date) == (3, 1, LATE)
    assert store.serials["MILK", "S1"].location_id == "ST"


def test_units_with_and_without_serials_are_called_back_together(store: MemoryStore) -> None:
    sent = half_known(store)
    assert reason(store, CancelTransfer(sent.transfer_id)) == ""
    lot = store.lots[LotKey(*MILK, "A")]
    assert (lot.on_hand, lot.serials) == (3, 1)
    assert store.serials["MILK", "S1"].location_id == "WH"


def test_safety_stock_that_is_set_free_goes_to_those_who_wait(store: MemoryStore) -> None:
    do(store, SetStockPolicy(MUG, safety_stock=3, backorder_limit=5))
    add(store, MUG, 4)
    first, second = place(store, MUG, 2, WAITING), place(store, MUG, 2, WAITING)
    level = do(store, SetStockPolicy(MUG, safety_stock=1))
    assert (level.reserved, level.backordered) == (3, 1)
    waiting = [store.orders[one.order_id].waits_at(MUG) for one in (first, second)]
    assert waiting == [0, 1]


def test_safety_stock_in_lots_is_set_free_first_expired_first(store: MemoryStore) -> None:
    do(store, SetStockPolicy(MILK, safety_stock=4, backorder_limit=5))
    add(store, MILK, 2, LotReceipt("A", LATE))
    add(store, MILK, 2, LotReceipt("B", EARLY))
    order = place(store, MILK, 3, WAITING)
    do(store, SetStockPolicy(MILK, safety_stock=1))
    reserved = {one.lot_id: one.reserved for one in store.orders[order.order_id].allocations}
    assert reserved == {"A": 1, "B": 2}
    assert reason(store, RemoveStock(MILK, 2, "SALE")) == "INSUFFICIENT_STOCK"
