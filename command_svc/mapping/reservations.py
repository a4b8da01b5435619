"""The messages of ReservationCommandService."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.reservations import (
    CancelReservation,
    ConfirmedLine,
    ConfirmReservation,
    ExtendReservation,
    ReserveStock,
    Resolution,
)
from command_svc.mapping.fields import given, level_key, levels, sourcing, strategy
from command_svc.mapping.requests import Mapping, encoder
from command_svc.messages import reservation_message
from inventory.command.v1 import reservation_command_service_pb2 as pb
from inventory.type.v1.reservation_pb2 import Reservation as ReservationMessage

DEFAULT_TIME_TO_LIVE = timedelta(minutes=15)


def _reserve(message: pb.ReserveStockRequest) -> ReserveStock:
    time_to_live: Duration | None = given(message, "time_to_live")
    return ReserveStock(
        tuple(
            WantedLine(line.sku, line.location_id or None, line.quantity, line.lot_id)
            for line in message.lines
        ),
        DEFAULT_TIME_TO_LIVE if time_to_live is None else time_to_live.ToTimedelta(),
        Terms(
            strategy(message.strategy, given(message, "destination")),
            use_safety_stock=message.use_safety_stock,
            partial=message.allow_partial,
        ),
        channel=message.channel,
        reference=message.reference,
    )


def _confirm(message: pb.ConfirmReservationRequest) -> ConfirmReservation:
    lines = tuple(
        ConfirmedLine(level_key(line), line.quantity, line.lot_id, tuple(line.serials))
        for line in message.lines
    )
    return ConfirmReservation(UUID(message.reservation_id), lines, message.release_rest)


def _cancel(message: pb.CancelReservationRequest) -> CancelReservation:
    return CancelReservation(UUID(message.reservation_id))


def _extend(message: pb.ExtendReservationRequest) -> ExtendReservation:
    return ExtendReservation(UUID(message.reservation_id), message.time_to_live.ToTimedelta())


def _reservation(outcome: Resolution) -> ReservationMessage:
    return reservation_message(outcome.reservation)


MAPPINGS: dict[type[Message], Mapping] = {
    pb.ReserveStockRequest: Mapping(
        _reserve,
        encoder(pb.ReserveStockResponse, reservation=_reservation, levels=levels, sourcing=sourcing),
    ),
    pb.ConfirmReservationRequest: Mapping(
        _confirm, encoder(pb.ConfirmReservationResponse, reservation=_reservation, levels=levels)
    ),
    pb.CancelReservationRequest: Mapping(
        _cancel, encoder(pb.CancelReservationResponse, reservation=_reservation, levels=levels)
    ),
    pb.ExtendReservationRequest: Mapping(
        _extend, encoder(pb.ExtendReservationResponse, reservation=_reservation)
    ),
}
