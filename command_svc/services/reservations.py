"""ReservationCommandService."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any, cast
from uuid import UUID

from google.protobuf.message import Message
from grpc.aio import ServicerContext

from command_svc.batcher import Batcher
from command_svc.domain.batch import Command, Outcome, Request
from command_svc.domain.levels import LevelKey
from command_svc.domain.reservations import (
    CancelReservation,
    ConfirmReservation,
    ExtendReservation,
    ReserveStock,
    Resolution,
    WantedLine,
)
from command_svc.domain.sourcing import Strategy
from command_svc.messages import level_message, reservation_message
from command_svc.services.lane import carry_out_batch, carry_out_one, newest
from command_svc.services.requests import CommandMessage, Encoder, make_request, new_request_id
from inventory.command.v1 import reservation_command_service_pb2 as pb
from inventory.command.v1.reservation_command_service_pb2_grpc import ReservationCommandServiceServicer
from inventory.type.v1 import sourcing_pb2
from serving.errors import CallError, invalid_field
from serving.identity import actor
from serving.validation import check

Context = ServicerContext[Any, Any]

DEFAULT_TIME_TO_LIVE = timedelta(minutes=15)


class ReservationCommands(ReservationCommandServiceServicer):
    """Serves the reservation commands from one lane."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    async def ReserveStock(
        self, request: pb.ReserveStockRequest, context: Context
    ) -> pb.ReserveStockResponse:
        """Promise units for a while."""
        answer = await self._one(request, context, _reserve(request), _with_levels(pb.ReserveStockResponse))
        return pb.ReserveStockResponse.FromString(answer)

    async def ConfirmReservation(
        self, request: pb.ConfirmReservationRequest, context: Context
    ) -> pb.ConfirmReservationResponse:
        """Take promised units off the shelf."""
        check(request)
        units: Counter[LevelKey] = Counter()
        for line in request.lines:
            units[LevelKey(line.sku, line.location_id)] += line.quantity
        command = ConfirmReservation(UUID(request.reservation_id), units, request.release_rest)
        encoder = _with_levels(pb.ConfirmReservationResponse)
        return pb.ConfirmReservationResponse.FromString(await self._one(request, context, command, encoder))

    async def CancelReservation(
        self, request: pb.CancelReservationRequest, context: Context
    ) -> pb.CancelReservationResponse:
        """Give back what is still held."""
        check(request)
        command = CancelReservation(UUID(request.reservation_id))
        encoder = _with_levels(pb.CancelReservationResponse)
        return pb.CancelReservationResponse.FromString(await self._one(request, context, command, encoder))

    async def ExtendReservation(
        self, request: pb.ExtendReservationRequest, context: Context
    ) -> pb.ExtendReservationResponse:
        """Give the reservation a new time to live."""
        check(request)
        command = ExtendReservation(UUID(request.reservation_id), request.time_to_live.ToTimedelta())
        answer = await self._one(request, context, command, _extended)
        return pb.ExtendReservationResponse.FromString(answer)

    async def BatchReserveStock(
        self, request: pb.BatchReserveStockRequest, context: Context
    ) -> pb.BatchReserveStockResponse:
        """Make many reservations in one transaction."""
        check(request)
        caller = actor(context)
        batch_id = request.request_id or new_request_id()
        makers = [
            partial(_batched_request, command, f"{batch_id}.{index}", caller)
            for index, command in enumerate(request.commands)
        ]
        answers = await carry_out_batch(
            self._batcher, makers, atomic=request.atomic, validate_only=request.validate_only
        )
        results = [_result(answer) for answer in answers]
        return pb.BatchReserveStockResponse(
            request_id=batch_id,
            consistency_token=newest(result.reserved.consistency_token for result in results),
            results=results,
        )

    async def _one(
        self, message: CommandMessage, context: Context, command: Command, encoder: Encoder
    ) -> bytes:
        request_id = message.request_id or new_request_id()
        request = make_request(message, request_id, actor(context), command, encoder)
        return await carry_out_one(self._batcher, request, validate_only=message.validate_only)


def _reserve(message: pb.ReserveStockRequest) -> ReserveStock:
    """Return the command; raises CallError when the message breaks a rule."""
    check(message)
    strategy = sourcing_pb2.SourcingStrategy.Name(
        message.strategy or sourcing_pb2.SOURCING_STRATEGY_SINGLE_LOCATION
    ).removeprefix("SOURCING_STRATEGY_")
    there = message.destination
    return ReserveStock(
        tuple(WantedLine(line.sku, line.location_id or None, line.quantity) for line in message.lines),
        message.time_to_live.ToTimedelta() if message.HasField("time_to_live") else DEFAULT_TIME_TO_LIVE,
        allow_partial=message.allow_partial,
        use_safety_stock=message.use_safety_stock,
        strategy=Strategy(
            strategy, (there.latitude, there.longitude) if message.HasField("destination") else None
        ),
        channel=message.channel,
        reference=message.reference,
    )


def _batched_request(message: pb.ReserveStockRequest, derived_id: str, caller: str) -> Request:
    command = _reserve(message)
    if message.validate_only:
        raise invalid_field("validate_only", "is for the whole batch to say")
    request_id = message.request_id or derived_id
    return make_request(message, request_id, caller, command, _with_levels(pb.ReserveStockResponse))


def _result(answer: bytes | CallError) -> pb.ReserveStockResult:
    if isinstance(answer, CallError):
        return pb.ReserveStockResult(error=answer.to_status())
    return pb.ReserveStockResult(reserved=pb.ReserveStockResponse.FromString(answer))


def _with_levels(response: type[Any]) -> Encoder:
    def encode(outcome: Outcome, request_id: str, token: str) -> Message:
        reservation, levels = cast("Resolution", outcome)
        return cast(
            "Message",
            response(
                request_id=request_id,
                consistency_token=token,
                reservation=reservation_message(reservation),
                levels=map(level_message, levels),
            ),
        )

    return encode


def _extended(outcome: Outcome, request_id: str, token: str) -> Message:
    reservation = reservation_message(cast("Resolution", outcome).reservation)
    return pb.ExtendReservationResponse(
        request_id=request_id, consistency_token=token, reservation=reservation
    )
