"""The example reader: repetition, lateness and later versions do it no harm."""

from __future__ import annotations

import pytest

from examples.stock_events import Ids, Stock, decode
from inventory.event.v1.stock_event_pb2 import StockAdded, StockEvent
from inventory.type.v1.stock_pb2 import StockMovement, StockQuantities

FRAME = b"\0\0\0\0\7\0"


def added(version: int) -> StockEvent:
    """Return the event of the entry that led to a version, with so many on hand."""
    return StockEvent(
        event_id=f"event-{version}",
        entry=StockMovement(
            sku="MUG", location_id="WH", version=version, result=StockQuantities(on_hand=version)
        ),
        stock_added=StockAdded(quantity=1),
    )


def test_each_event_counts_once() -> None:
    stock = Stock()
    for version in (1, 2, 2, 1, 3):
        stock.take(decode(FRAME + added(version).SerializeToString()))
    assert stock.on_hand == {("MUG", "WH"): (3, 3)}
    assert (stock.repeated, stock.gaps, stock.unknown) == (2, 0, 0)


def test_what_comes_late_or_again_after_its_id_is_forgotten_changes_nothing() -> None:
    stock = Stock(ids=Ids(1))
    for version in (1, 3, 2, 3):
        stock.take(added(version))
    assert stock.on_hand == {("MUG", "WH"): (3, 3)}
    assert (stock.repeated, stock.gaps) == (2, 1)


def test_an_event_of_a_later_version_is_taken_by_what_it_led_to() -> None:
    later = added(1)
    later.ClearField("event")
    # Field 90, a message that this version has no name for, and field 91, a text.
    value = FRAME + later.SerializeToString() + b"\xd2\x05\x02\x08\x01" + b"\xda\x05\x03new"
    stock = Stock()
    stock.take(decode(value))
    assert stock.on_hand == {("MUG", "WH"): (1, 1)}
    assert stock.unknown == 1


def test_what_is_not_framed_is_not_taken_for_an_event() -> None:
    with pytest.raises(ValueError, match="not framed"):
        decode(added(1).SerializeToString())
