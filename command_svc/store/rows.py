"""From rows of the database to what the domain knows, and back: one element for each column."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from command_svc.domain.item import Facts, Item
from command_svc.domain.levels import LevelKey
from command_svc.domain.location import Location
from command_svc.domain.promises import Allocation, Line, Order, OrderLine, Reservation
from command_svc.domain.sourcing import Site
from command_svc.domain.transfer import Transfer, TransferLine

Row = tuple[Any, ...]


def reservation(row: Row) -> Reservation:
    """Return the reservation of a row of READ_RESERVATIONS."""
    reservation_id, state, skus, location_ids, lot_ids, quantities, confirmed, released, *rest = row
    lines = zip(skus, location_ids, quantities, confirmed, released, lot_ids, strict=True)
    return Reservation(
        reservation_id,
        state,
        tuple(Line(LevelKey(sku, location_id), *units) for sku, location_id, *units in lines),
        *rest,
    )


def reservation_columns(one: Reservation) -> list[Any]:
    """Return the columns that are written of a reservation."""
    lines = one.lines
    return [
        one.reservation_id,
        one.state,
        texts(line.key.sku for line in lines),
        texts(line.key.location_id for line in lines),
        texts(line.lot_id for line in lines),
        numbers(line.quantity for line in lines),
        numbers(line.confirmed for line in lines),
        numbers(line.released for line in lines),
        one.expire_time,
        one.channel,
        one.reference,
        one.actor,
        one.version,
        one.create_time,
        one.update_time,
    ]


def order(row: Row) -> Order:
    """Return the order of a row of READ_ORDERS."""
    order_id, state, line_skus, line_quantities, skus, location_ids, lot_ids, *units, channel = row[:13]
    allocations = zip(skus, location_ids, *units, lot_ids, strict=True)
    return Order(
        order_id,
        state,
        tuple(map(OrderLine, line_skus, line_quantities)),
        tuple(Allocation(LevelKey(sku, location_id), *rest) for sku, location_id, *rest in allocations),
        channel,
        *row[13:],
    )


def order_columns(one: Order) -> list[Any]:
    """Return the columns that are written of an order."""
    parts = one.allocations
    return [
        one.order_id,
        one.state,
        texts(line.sku for line in one.lines),
        numbers(line.quantity for line in one.lines),
        texts(part.key.sku for part in parts),
        texts(part.key.location_id for part in parts),
        texts(part.lot_id for part in parts),
        numbers(part.quantity for part in parts),
        numbers(part.backordered for part in parts),
        numbers(part.shipped for part in parts),
        numbers(part.cancelled for part in parts),
        numbers(part.returned for part in parts),
        # Ids hold no space: the two of them tell a level.
        texts(f"{part.key.sku} {part.key.location_id}" for part in parts if part.backordered),
        one.channel,
        one.reference,
        one.actor,
        one.version,
        one.create_time,
        one.update_time,
    ]


def transfer(row: Row) -> Transfer:
    """Return the transfer of a row of READ_TRANSFERS."""
    transfer_id, state, source, supplier, destination, skus, lot_ids, *units, serials, expected = row[:13]
    lines = zip(skus, *units, lot_ids, map(tuple, serials), strict=True)
    return Transfer(
        transfer_id,
        state,
        source,
        supplier,
        destination,
        tuple(TransferLine(*line) for line in lines),
        expected,
        *row[13:],
    )


def transfer_columns(one: Transfer) -> list[Any]:
    """Return the columns that are written of a transfer."""
    lines = one.lines
    return [
        one.transfer_id,
        one.state,
        one.source_location_id,
        one.supplier,
        one.destination_location_id,
        texts(line.sku for line in lines),
        texts(line.lot_id for line in lines),
        numbers(line.quantity for line in lines),
        numbers(line.received for line in lines),
        numbers(line.written_off for line in lines),
        numbers(line.returned for line in lines),
        json.dumps([line.serials for line in lines]),
        one.expected_arrival_time,
        one.reference,
        one.actor,
        one.version,
        one.create_time,
        one.update_time,
    ]


def facts(row: Row) -> Facts:
    """Return what an item is, of a row of READ_FACTS."""
    _, kind, counted, lot_tracked, parent_sku, skus, quantities, _ = row
    return Facts(kind, counted, lot_tracked, parent_sku, tuple(zip(skus, quantities, strict=True)))


def item(row: Row) -> Item:
    """Return the item of a row of READ_ITEMS."""
    sku, name, description, kind, unit, categories, tags, barcodes, metadata, state, version = row[:11]
    created, updated, counted, lot_tracked, parent_sku, options, length, width, height, weight = row[11:21]
    return Item(
        sku=sku,
        name=name,
        description=description,
        kind=kind,
        unit_of_measure=unit,
        categories=tuple(categories),
        tags=tuple(tags),
        barcodes=tuple(barcodes),
        metadata=metadata,
        state=state,
        version=version,
        create_time=created,
        update_time=updated,
        counted=counted,
        lot_tracked=lot_tracked,
        parent_sku=parent_sku,
        option_values=options,
        dimensions=None if length is None else (length, width, height),
        weight_grams=weight,
        components=tuple(zip(*row[21:], strict=True)),
    )


def item_json(one: Item) -> dict[str, Any]:
    """Return the columns that are written of an item, by their names."""
    length, width, height = one.dimensions or (None, None, None)
    return {
        "sku": one.sku,
        "name": one.name,
        "description": one.description,
        "kind": one.kind,
        "unit_of_measure": one.unit_of_measure,
        "categories": one.categories,
        "tags": one.tags,
        "barcodes": one.barcodes,
        "metadata": dict(one.metadata),
        "state": one.state,
        "version": one.version,
        "create_time": one.create_time,
        "update_time": one.update_time,
        "licensed": one.counted and one.kind != "PHYSICAL",
        "lot_tracked": one.lot_tracked,
        "parent_sku": one.parent_sku,
        "option_values": dict(one.option_values),
        "length_mm": length,
        "width_mm": width,
        "height_mm": height,
        "weight_grams": one.weight_grams,
        "component_skus": [sku for sku, _ in one.components],
        "component_quantities": [quantity for _, quantity in one.components],
    }


def location(row: Row) -> Location:
    """Return the location of a row of READ_LOCATIONS."""
    location_id, name, kind, region, postal_code, locality, lines, latitude, longitude = row[:9]
    coordinates = None if latitude is None else (latitude, longitude)
    return Location(
        location_id, name, kind, region, postal_code, locality, tuple(lines), coordinates, *row[9:]
    )


def location_json(one: Location) -> dict[str, Any]:
    """Return the columns that are written of a location, by their names."""
    latitude, longitude = one.coordinates or (None, None)
    return {
        "location_id": one.location_id,
        "name": one.name,
        "kind": one.kind,
        "region_code": one.region_code,
        "postal_code": one.postal_code,
        "locality": one.locality,
        "address_lines": one.address_lines,
        "latitude": latitude,
        "longitude": longitude,
        "time_zone": one.time_zone,
        "priority": one.priority,
        "ships_online_orders": one.ships_online_orders,
        "state": one.state,
        "version": one.version,
        "create_time": one.create_time,
        "update_time": one.update_time,
    }


def site(row: Row) -> Site:
    """Return the site of a row of READ_SITES."""
    location_id, priority, latitude, longitude = row
    return Site(location_id, priority, None if latitude is None else (latitude, longitude))


def numbers(values: Iterable[int]) -> str:
    """Return an array of numbers as PostgreSQL writes it."""
    return "{" + ",".join(map(str, values)) + "}"


def texts(values: Iterable[str]) -> str:
    """Return an array of ids as PostgreSQL writes it; ids hold neither quotes nor backslashes."""
    return "{" + ",".join(f'"{value}"' for value in values) + "}"
