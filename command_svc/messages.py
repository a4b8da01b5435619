"""The domain's facts as messages of the contract, for answers and for the journal."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.latlng_pb2 import LatLng

from command_svc.domain.catalog import Item, Location
from command_svc.domain.levels import Level, Movement
from command_svc.domain.reservations import Reservation
from inventory.type.v1.item_pb2 import Item as ItemMessage
from inventory.type.v1.item_pb2 import ItemKind, ItemState
from inventory.type.v1.location_pb2 import Address, LocationKind, LocationState
from inventory.type.v1.location_pb2 import Location as LocationMessage
from inventory.type.v1.reservation_pb2 import Reservation as ReservationMessage
from inventory.type.v1.reservation_pb2 import ReservationLine, ReservationState
from inventory.type.v1.stock_pb2 import (
    MovementKind,
    MovementReason,
    StockLevel,
    StockMovement,
    StockQuantities,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(instant: datetime) -> Timestamp:
    """Return the instant, exact to the microsecond; a third of the cost of `Timestamp.FromDatetime`."""
    since = instant - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def level_message(level: Level) -> StockLevel:
    """Return the level with its derived figures."""
    return StockLevel(
        sku=level.key.sku,
        location_id=level.key.location_id,
        on_hand=level.on_hand,
        reserved=level.reserved,
        available=level.available,
        safety_stock=level.safety_stock,
        sellable=level.sellable,
        backordered=level.backordered,
        backorder_limit=level.backorder_limit,
        in_transit=level.in_transit,
        reorder_point=level.reorder_point,
        low=level.low,
        version=level.version,
        update_time=timestamp(level.update_time),
    )


def movement_message(movement: Movement, transaction_id: UUID) -> StockMovement:
    """Return the ledger entry as part of its transaction."""
    level, delta = movement.level, movement.delta
    return StockMovement(
        sku=level.key.sku,
        location_id=level.key.location_id,
        version=level.version,
        kind=MovementKind.Value(f"MOVEMENT_KIND_{movement.kind}"),
        reason=MovementReason.Value(f"MOVEMENT_REASON_{movement.reason}"),
        delta=StockQuantities(
            on_hand=delta.on_hand,
            reserved=delta.reserved,
            backordered=delta.backordered,
            in_transit=delta.in_transit,
        ),
        result=StockQuantities(
            on_hand=level.on_hand,
            reserved=level.reserved,
            backordered=level.backordered,
            in_transit=level.in_transit,
        ),
        actor=movement.actor,
        reference=movement.reference,
        request_id=movement.request_id,
        transaction_id=str(transaction_id),
        occur_time=timestamp(movement.occur_time),
        record_time=timestamp(level.update_time),
    )


def item_message(item: Item) -> ItemMessage:
    """Return the item."""
    return ItemMessage(
        sku=item.sku,
        name=item.name,
        description=item.description,
        kind=ItemKind.Value(f"ITEM_KIND_{item.kind}"),
        unit_of_measure=item.unit_of_measure,
        categories=item.categories,
        tags=item.tags,
        barcodes=item.barcodes,
        metadata=item.metadata,
        state=ItemState.Value(f"ITEM_STATE_{item.state}"),
        version=item.version,
        create_time=timestamp(item.create_time),
        update_time=timestamp(item.update_time),
    )


def location_message(location: Location) -> LocationMessage:
    """Return the location."""
    coordinates = location.coordinates
    return LocationMessage(
        location_id=location.location_id,
        name=location.name,
        kind=LocationKind.Value(f"LOCATION_KIND_{location.kind}"),
        address=Address(
            region_code=location.region_code,
            postal_code=location.postal_code,
            locality=location.locality,
            lines=location.address_lines,
        ),
        coordinates=LatLng(latitude=coordinates[0], longitude=coordinates[1]) if coordinates else None,
        time_zone=location.time_zone,
        priority=location.priority,
        ships_online_orders=location.ships_online_orders,
        state=LocationState.Value(f"LOCATION_STATE_{location.state}"),
        version=location.version,
        create_time=timestamp(location.create_time),
        update_time=timestamp(location.update_time),
    )


def reservation_message(reservation: Reservation) -> ReservationMessage:
    """Return the reservation."""
    return ReservationMessage(
        reservation_id=str(reservation.reservation_id),
        state=ReservationState.Value(f"RESERVATION_STATE_{reservation.state}"),
        lines=[
            ReservationLine(
                sku=line.key.sku,
                location_id=line.key.location_id,
                quantity=line.quantity,
                confirmed=line.confirmed,
                released=line.released,
            )
            for line in reservation.lines
        ],
        expire_time=timestamp(reservation.expire_time),
        channel=reservation.channel,
        reference=reservation.reference,
        actor=reservation.actor,
        version=reservation.version,
        create_time=timestamp(reservation.create_time),
        update_time=timestamp(reservation.update_time),
    )
