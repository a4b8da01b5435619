"""The work after closing time: fill up what runs low, count a few shelves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from demo.books import Standing
from demo.events import DARK_STORE, PLACES, STORE, WAREHOUSE, Level
from demo.plan import Plan
from inventory.command.v1.stock_command_service_pb2 import (
    AddStockRequest,
    AdjustStockRequest,
    MoveStockRequest,
    StockCommand,
)
from inventory.type.v1.stock_pb2 import (
    MOVEMENT_REASON_COUNT,
    MOVEMENT_REASON_REBALANCE,
    MOVEMENT_REASON_RECEIPT,
)

# Of the day's levels so many are looked at for a count, and so many of those that hold stock are counted.
LOOKED_AT = 20
COUNTED = 4


def levels_of(skus: Collection[str]) -> list[Level]:
    """Return the levels to look at when these items were touched today."""
    return [(sku, place) for sku in skus for place in PLACES]


def restock(plan: Plan, seen: Mapping[Level, Standing], skus: Collection[str]) -> Iterator[StockCommand]:
    """Yield, item by item, a receipt at the warehouse when it runs low, then the moves from there.

    The receipt covers the moves, so that in this order none of them finds too little.
    """
    for sku in skus:
        moves = []
        leaving = 0
        for place in (STORE, DARK_STORE):
            on_hand = _on_hand(seen, (sku, place))
            needed = plan.target.get((sku, place), 0) - on_hand
            if needed > 0 and plan.is_low((sku, place), on_hand):
                moves.append(_move(sku, place, needed))
                leaving += needed
        target = plan.target.get((sku, WAREHOUSE), 0)
        staying = _on_hand(seen, (sku, WAREHOUSE)) - leaving
        if staying < target and plan.is_low((sku, WAREHOUSE), staying):
            yield _receipt(sku, target - staying)
        yield from moves


def count(seen: Mapping[Level, Standing]) -> Iterator[StockCommand]:
    """Yield what counting a few of these shelves finds: on every other one unit less than expected.

    A count names the version it was compared with: a change in between would refuse it.
    """
    stocked = [(level, standing) for level, standing in seen.items() if standing.on_hand > 0]
    for number, ((sku, place), standing) in enumerate(stocked[:COUNTED]):
        yield StockCommand(
            adjust=AdjustStockRequest(
                sku=sku,
                location_id=place,
                counted_quantity=standing.on_hand - number % 2,
                expected_version=standing.version,
                reason=MOVEMENT_REASON_COUNT,
                reference="cycle count",
            )
        )


def _on_hand(seen: Mapping[Level, Standing], level: Level) -> int:
    return seen.get(level, Standing()).on_hand


def _receipt(sku: str, quantity: int) -> StockCommand:
    return StockCommand(
        add=AddStockRequest(
            sku=sku,
            location_id=WAREHOUSE,
            quantity=quantity,
            reason=MOVEMENT_REASON_RECEIPT,
            reference="evening restock",
        )
    )


def _move(sku: str, place: str, quantity: int) -> StockCommand:
    return StockCommand(
        move=MoveStockRequest(
            sku=sku,
            source_location_id=WAREHOUSE,
            destination_location_id=place,
            quantity=quantity,
            reason=MOVEMENT_REASON_REBALANCE,
            reference="evening restock",
        )
    )
