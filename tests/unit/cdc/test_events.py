"""The public events: what commands really decide, told once, with the levels that it led to."""

from __future__ import annotations

from datetime import UTC, timedelta
from uuid import UUID

import pytest

from cdc.events import Event, UnknownKindError, make
from command_svc import journal
from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.batch import AtomicRefusalError, decide
from command_svc.domain.commands import Command
from command_svc.domain.levels import Level, LevelKey
from command_svc.domain.orders import CancelOrder, FulfillOrder, OrderedUnits, PlaceOrder
from command_svc.domain.reservations import (
    CancelReservation,
    ConfirmedLine,
    ConfirmReservation,
    ExtendReservation,
    ReserveStock,
    free_expired,
)
from command_svc.domain.returns import ReturnedUnits, ReturnOrder
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock, SetStockPolicy
from command_svc.domain.transaction import Transaction
from command_svc.domain.transfers import (
    ArrivedLine,
    CancelTransfer,
    DispatchedLine,
    DispatchTransfer,
    ReceiveTransfer,
)
from inventory.event.v1.order_event_pb2 import OrderEvent
from inventory.event.v1.reservation_event_pb2 import ReservationEvent
from inventory.event.v1.stock_event_pb2 import StockEvent
from inventory.event.v1.transfer_event_pb2 import TransferEvent
from inventory.journal.v1.transaction_pb2 import Transaction as Record
from inventory.type.v1.order_pb2 import ORDER_STATE_FULFILLED, ORDER_STATE_OPEN
from inventory.type.v1.stock_pb2 import MOVEMENT_KIND_ADD, StockMovement
from tests.unit.command_svc.making import MUG, MUG_AT_STORE, NOW, submission, transaction

PEN = LevelKey("PEN", "WH")
TERMS = Terms(Strategy("PRIORITY"))
HOUR = timedelta(hours=1)


class Story:
    """One transaction in which one command after the other is decided."""

    def __init__(self) -> None:
        level = Level(MUG, on_hand=100, backorder_limit=50, version=7, update_time=NOW)
        self.working: Transaction = transaction([level, Level(PEN, on_hand=100, version=1, update_time=NOW)])

    def tell(self, *commands: Command) -> None:
        for verdict in decide(self.working, submission(*commands)):
            assert isinstance(verdict, bytes), verdict

    def record(self) -> Record:
        (payload,) = journal.encode(self.working)
        return Record.FromString(payload)

    def events(self) -> list[Event]:
        return list(make(self.record()))

    def reserve(self, *lines: WantedLine) -> UUID:
        self.tell(ReserveStock(lines, HOUR, TERMS))
        return list(self.working.reservations)[-1]

    def order(self, *lines: WantedLine, backorder: bool = False) -> UUID:
        self.tell(PlaceOrder(lines, TERMS._replace(backorder=backorder)))
        return list(self.working.orders)[-1]

    def dispatch(self, source: str, supplier: str = "") -> UUID:
        self.tell(DispatchTransfer(source, supplier, "ST", (DispatchedLine("MUG", 10),)))
        return list(self.working.transfers)[-1]


def mugs(quantity: int) -> WantedLine:
    return WantedLine("MUG", "WH", quantity)


def names(events: list[Event], envelope: type) -> list[str]:
    """Return what happened, in order, of one kind of envelope."""
    return [event.type for event in events if isinstance(event.message, envelope)]


def test_each_entry_of_the_ledger_is_one_event_with_the_level_it_led_to() -> None:
    story = Story()
    story.tell(
        AddStock(MUG, 5, "RECEIPT"),
        RemoveStock(MUG, 2, "SALE"),
        AdjustStock(MUG, "COUNT", counted=90),
        SetStockPolicy(MUG, reorder_point=95, safety_stock=3),
        MoveStock(MUG, MUG_AT_STORE, 4, "REBALANCE"),
    )
    events = story.events()
    assert [(event.key, event.type) for event in events] == [
        ("MUG@WH", "StockAdded"),
        ("MUG@WH", "StockRemoved"),
        ("MUG@WH", "StockAdjusted"),
        ("MUG@WH", "StockPolicySet"),
        ("MUG@WH", "StockMoved"),
        ("MUG@ST", "StockMoved"),
    ]
    messages = [event.message for event in events]
    assert all(isinstance(message, StockEvent) for message in messages)
    told = [message for message in messages if isinstance(message, StockEvent)]
    assert [one.level.version for one in told] == [8, 9, 10, 11, 12, 1]
    assert [one.level.on_hand for one in told] == [105, 103, 90, 90, 86, 4]
    assert [one.level.sellable for one in told[:5]] == [102, 100, 87, 87, 83]
    assert [one.level.low for one in told[:5]] == [False, False, True, True, True]
    assert told[0].stock_added.quantity == 5
    assert told[1].stock_removed.quantity == 2
    assert told[2].stock_adjusted.difference == -13
    for half in told[4:]:
        assert half.stock_moved.quantity == 4
        assert (half.stock_moved.from_location_id, half.stock_moved.to_location_id) == ("WH", "ST")
    # The last event of a level has the level of the transaction itself.
    record = story.record()
    assert {told[4].level.SerializeToString(), told[5].level.SerializeToString()} == {
        level.SerializeToString() for level in record.levels
    }
    assert all(one.entry == entry for one, entry in zip(told, record.movements, strict=True))


def test_two_moves_of_an_item_keep_their_ends_apart() -> None:
    story = Story()
    story.tell(MoveStock(MUG, MUG_AT_STORE, 4, "REBALANCE"), MoveStock(MUG_AT_STORE, MUG, 1, "REBALANCE"))
    moves = [event.message.stock_moved for event in story.events() if isinstance(event.message, StockEvent)]
    assert [(one.from_location_id, one.to_location_id, one.quantity) for one in moves] == [
        ("WH", "ST", 4),
        ("WH", "ST", 4),
        ("ST", "WH", 1),
        ("ST", "WH", 1),
    ]


def test_what_becomes_of_reservations() -> None:
    story = Story()
    kept = story.reserve(mugs(5), WantedLine("PEN", "WH", 2))
    story.tell(ConfirmReservation(kept, (ConfirmedLine(MUG, 3),), release_rest=True))
    story.tell(CancelReservation(story.reserve(mugs(1))))
    lapsed = story.reserve(mugs(4))
    story.working.now += 2 * HOUR
    free_expired(story.working)
    events = story.events()
    assert names(events, ReservationEvent) == [
        "ReservationMade",
        "ReservationConfirmed",
        "ReservationMade",
        "ReservationCancelled",
        "ReservationMade",
        "ReservationExpired",
    ]
    told = [event.message for event in events if isinstance(event.message, ReservationEvent)]
    made, confirmed, expired = told[0].reservation_made, told[1].reservation_confirmed, told[5]
    assert [(one.sku, one.quantity, one.level.reserved) for one in made.units] == [
        ("MUG", 5, 5),
        ("PEN", 2, 2),
    ]
    assert [(one.sku, one.quantity, one.level.on_hand) for one in confirmed.units] == [("MUG", 3, 97)]
    assert sorted((one.sku, one.quantity) for one in confirmed.released) == [("MUG", 2), ("PEN", 2)]
    assert (expired.actor, expired.request_id, expired.reservation.reservation_id) == (
        "inventory",
        "",
        str(lapsed),
    )
    assert [one.quantity for one in expired.reservation_expired.units] == [4]
    stock = [event.message for event in events if isinstance(event.message, StockEvent)]
    assert stock[0].stock_reserved.reservation_id == str(kept)
    assert stock[-1].stock_released.expired


def held_before() -> tuple[Story, UUID]:
    """Return a story that begins with a reservation."""
    story = Story()
    held = story.reserve(mugs(5))
    level, reservation = story.working.levels[MUG], story.working.reservations[held]
    story = Story()
    story.working.levels[MUG] = level
    story.working.reservations[held] = reservation
    return story, held


def test_each_extension_is_an_event_in_its_place_among_what_else_was_done() -> None:
    story, held = held_before()
    story.tell(ExtendReservation(held, HOUR))
    story.tell(AddStock(MUG, 5, "RECEIPT"))
    story.tell(ConfirmReservation(held, (ConfirmedLine(MUG, 2),)))
    story.tell(ExtendReservation(held, 2 * HOUR))
    story.tell(ExtendReservation(held, 3 * HOUR))
    story.tell(CancelReservation(held))
    events = story.events()
    assert names(events, ReservationEvent) == [
        "ReservationExtended",
        "ReservationConfirmed",
        "ReservationExtended",
        "ReservationExtended",
        "ReservationCancelled",
    ]
    told = [event.message for event in events if isinstance(event.message, ReservationEvent)]
    extended = [one for one in told if one.HasField("reservation_extended")]
    assert [one.reservation_extended.expire_time.ToDatetime(UTC) - NOW for one in extended] == [
        HOUR,
        2 * HOUR,
        3 * HOUR,
    ]
    requests = {(one.request_id, one.actor) for one in story.working.accepted}
    assert {(one.request_id, one.actor) for one in told} < requests
    assert len({one.request_id for one in told}) == len({one.event_id for one in told}) == len(told)


def test_an_extension_that_was_refused_with_its_batch_is_not_told() -> None:
    story, held = held_before()
    refused = submission(ExtendReservation(held, HOUR), RemoveStock(MUG, 1000, "SALE"), atomic=True)
    with pytest.raises(AtomicRefusalError):
        decide(story.working, refused)
    assert story.events() == []


def test_an_extension_of_before_they_were_told_is_guessed_in_a_whole_transaction_alone() -> None:
    story, held = held_before()
    story.tell(ExtendReservation(held, HOUR))
    record = story.record()
    assert [event.type for event in make(record, whole=False)] == ["ReservationExtended"]
    record.ClearField("reservation_extensions")
    assert [event.type for event in make(record)] == ["ReservationExtended"]
    assert list(make(record, whole=False)) == []


def test_what_becomes_of_orders() -> None:
    story = Story()
    placed = story.order(mugs(120), backorder=True)
    story.tell(FulfillOrder(placed, (OrderedUnits(MUG, 60),)))
    story.tell(AddStock(MUG, 5, "RECEIPT"))
    story.tell(CancelOrder(placed, (OrderedUnits(MUG, 20),)))
    story.tell(FulfillOrder(placed))
    story.tell(ReturnOrder(placed, (ReturnedUnits(MUG, 2), ReturnedUnits(MUG, 1, write_off_reason="DAMAGE"))))
    song = story.order(WantedLine("SONG", "", 1))
    events = story.events()
    told = [event.message for event in events if isinstance(event.message, OrderEvent)]
    assert names(events, OrderEvent) == [
        "OrderPlaced",
        "OrderFulfilled",
        "OrderBackorderFilled",
        "OrderCancelled",
        "OrderFulfilled",
        "OrderReturned",
        "OrderPlaced",
    ]
    assert [one.quantity for one in told[0].order_placed.reserved] == [100]
    assert [one.quantity for one in told[0].order_placed.backordered] == [20]
    assert told[0].order_placed.backordered[0].level.backordered == 20
    assert [one.quantity for one in told[2].order_backorder_filled.units] == [5]
    assert [one.quantity for one in told[3].order_cancelled.backordered] == [15]
    assert [one.quantity for one in told[3].order_cancelled.released] == [5]
    assert [one.quantity for one in told[5].order_returned.units] == [2, 1]
    assert [one.quantity for one in told[5].order_returned.written_off] == [1]
    assert told[6].order.order_id == str(song)
    assert {one.order.state for one in told} == {ORDER_STATE_FULFILLED}
    assert told[0].order.state != ORDER_STATE_OPEN
    assert {event.key for event in events if isinstance(event.message, OrderEvent)} == {
        str(placed),
        str(song),
    }


def test_what_becomes_of_transfers() -> None:
    story = Story()
    sent = story.dispatch("WH")
    story.tell(ReceiveTransfer(sent, (ArrivedLine("MUG", 7),), write_off_reason="LOSS"))
    story.tell(CancelTransfer(story.dispatch("WH")))
    story.dispatch("", "ACME")
    events = story.events()
    told = [event.message for event in events if isinstance(event.message, TransferEvent)]
    assert names(events, TransferEvent) == [
        "TransferDispatched",
        "TransferReceived",
        "TransferDispatched",
        "TransferCancelled",
        "TransferDispatched",
    ]
    assert [(one.location_id, one.quantity) for one in told[0].transfer_dispatched.dispatched] == [("WH", 10)]
    assert [one.level.in_transit for one in told[0].transfer_dispatched.expected] == [10]
    assert [one.quantity for one in told[1].transfer_received.units] == [7]
    assert [one.quantity for one in told[1].transfer_received.written_off] == [3]
    assert {one.location_id for one in told[3].transfer_cancelled.units} == {"WH", "ST"}
    assert not told[4].transfer_dispatched.dispatched
    lost = [event.message for event in events if event.type == "StockWrittenOff"]
    assert [one.stock_written_off.transfer_id for one in lost if isinstance(one, StockEvent)] == [str(sent)]


def test_the_same_transaction_makes_the_same_events_and_no_two_share_an_id() -> None:
    story = Story()
    placed = story.order(mugs(120), backorder=True)
    story.tell(
        AddStock(MUG, 50, "RECEIPT"), FulfillOrder(placed), MoveStock(MUG, MUG_AT_STORE, 4, "REBALANCE")
    )
    story.tell(CancelReservation(story.reserve(mugs(1))))
    first, second = story.events(), story.events()
    assert first == second
    assert len({event.message.event_id for event in first}) == len(first)


def test_a_kind_that_is_not_known_is_not_passed_over() -> None:
    with pytest.raises(UnknownKindError):
        list(make(Record(transaction_id="t", movements=[StockMovement(sku="A", location_id="W")])))


def test_without_its_level_an_entry_is_told_all_the_same() -> None:
    entry = StockMovement(sku="A", location_id="W", version=3, kind=MOVEMENT_KIND_ADD)
    (event,) = make(Record(transaction_id="t", movements=[entry]), whole=False)
    assert isinstance(event.message, StockEvent)
    assert not event.message.HasField("level")
    assert event.message.entry == entry
