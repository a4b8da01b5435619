"""Refusals about levels."""

from __future__ import annotations

from command_svc.domain.levels import MAX_QUANTITY, Level, LevelKey
from command_svc.domain.refusals.refusal import Refusal


class ItemNotStockedError(Refusal):
    """The item's kind is not counted."""

    reason = "ITEM_NOT_STOCKED"

    def __init__(self, sku: str, kind: str) -> None:
        super().__init__(f"item {sku} is {kind.lower()}: it has no stock", sku=sku, kind=kind)


class InsufficientStockError(Refusal):
    """Fewer units are free than the command asks for."""

    reason = "INSUFFICIENT_STOCK"

    def __init__(self, key: LevelKey, requested: int, available: int, *, lot_id: str = "") -> None:
        place = f" at {key.location_id}" if key.location_id else ""
        lot = f" in lot {lot_id}" if lot_id else ""
        super().__init__(
            f"{available} of {key.sku} are available{place}{lot}, {requested} were requested",
            sku=key.sku,
            location_id=key.location_id,
            requested=requested,
            available=available,
            **({"lot_id": lot_id} if lot_id else {}),
        )


class QuantityOutOfRangeError(Refusal):
    """The level would pass the largest quantity kept."""

    reason = "QUANTITY_OUT_OF_RANGE"

    def __init__(self, level: Level, requested: int, figure: str) -> None:
        """Take which figure would pass the limit, "on_hand" or "in_transit", and by how many units."""
        key, there = level.key, getattr(level, figure)
        super().__init__(
            f"{there} of {key.sku} are {figure.replace('_', ' ')} at {key.location_id}: {requested} more "
            f"would pass the limit of {MAX_QUANTITY}",
            sku=key.sku,
            location_id=key.location_id,
            requested=requested,
            on_hand=level.on_hand,
            in_transit=level.in_transit,
            limit=MAX_QUANTITY,
        )


class BackordersOutstandingError(Refusal):
    """The backorder limit would fall below what is backordered already."""

    reason = "BACKORDERS_OUTSTANDING"

    def __init__(self, key: LevelKey, requested: int, backordered: int) -> None:
        super().__init__(
            f"{backordered} of {key.sku} are backordered at {key.location_id}: "
            f"the limit cannot be {requested}",
            sku=key.sku,
            location_id=key.location_id,
            requested=requested,
            backordered=backordered,
        )
