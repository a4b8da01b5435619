"""What there is of an item over all its locations; of a bundle, how many its components make."""

from __future__ import annotations

from collections.abc import Sequence

from inventory.query.v1 import stock_query_service_pb2 as pb
from inventory.type.v1.item_pb2 import Item, ItemKind
from inventory.type.v1.stock_pb2 import StockLevel


def of_item(sku: str, item: Item | None, levels: Sequence[StockLevel]) -> pb.GetAvailabilityResponse:
    """Return the answer for an item that is no bundle; None while only its levels are known."""
    return pb.GetAvailabilityResponse(
        sku=sku,
        on_hand=sum(level.on_hand for level in levels),
        reserved=sum(level.reserved for level in levels),
        available=sum(level.available for level in levels),
        sellable=sum(level.sellable for level in levels),
        backordered=sum(level.backordered for level in levels),
        in_transit=sum(level.in_transit for level in levels),
        levels=levels,
        kind=item.kind if item else ItemKind.ITEM_KIND_UNSPECIFIED,
        counted=item.counted if item else bool(levels),
    )


def of_bundle(item: Item, levels: Sequence[Sequence[StockLevel]]) -> pb.GetAvailabilityResponse:
    """Return the answer for a bundle from the levels of each of its components."""
    components = [
        pb.ComponentAvailability(
            sku=component.sku,
            quantity=component.quantity,
            available=sum(level.available for level in found),
            sellable=sum(level.sellable for level in found),
        )
        for component, found in zip(item.components, levels, strict=True)
    ]
    return pb.GetAvailabilityResponse(
        sku=item.sku,
        available=min(one.available // one.quantity for one in components),
        sellable=min(one.sellable // one.quantity for one in components),
        kind=item.kind,
        components=components,
        locations=_locations(item, levels),
    )


def _locations(item: Item, levels: Sequence[Sequence[StockLevel]]) -> list[pb.BundleAvailability]:
    by_location = [{level.location_id: level for level in found} for found in levels]
    found = []
    for location_id in sorted(set.intersection(*(set(one) for one in by_location))):
        here = [
            (one[location_id], component.quantity)
            for one, component in zip(by_location, item.components, strict=True)
        ]
        available = min(level.available // quantity for level, quantity in here)
        if available:
            sellable = min(level.sellable // quantity for level, quantity in here)
            found.append(
                pb.BundleAvailability(location_id=location_id, available=available, sellable=sellable)
            )
    return found
