"""The messages of TransferCommandService."""

from __future__ import annotations

from uuid import UUID

from google.protobuf.message import Message

from command_svc.domain.transfers import (
    ArrivedLine,
    CancelTransfer,
    DispatchedLine,
    DispatchTransfer,
    ReceiveTransfer,
    TransferOutcome,
)
from command_svc.mapping.fields import levels, lot_choice, lot_receipt, reason, time_in
from command_svc.mapping.requests import Mapping, encoder
from command_svc.messages import transfer_message
from inventory.command.v1 import transfer_command_service_pb2 as pb
from inventory.type.v1.transfer_pb2 import Transfer as TransferMessage


def _dispatch(message: pb.DispatchTransferRequest) -> DispatchTransfer:
    return DispatchTransfer(
        message.source_location_id,
        message.supplier,
        message.destination_location_id,
        tuple(DispatchedLine(line.sku, line.quantity, lot_choice(line)) for line in message.lines),
        expected_arrival_time=time_in(message, "expected_arrival_time"),
        reference=message.reference,
    )


def _receive(message: pb.ReceiveTransferRequest) -> ReceiveTransfer:
    lines = tuple(ArrivedLine(line.sku, line.quantity, lot_receipt(line)) for line in message.lines)
    return ReceiveTransfer(UUID(message.transfer_id), lines, reason(message.write_off_reason))


def _cancel(message: pb.CancelTransferRequest) -> CancelTransfer:
    return CancelTransfer(UUID(message.transfer_id))


def _transfer(outcome: TransferOutcome) -> TransferMessage:
    return transfer_message(outcome.transfer)


MAPPINGS: dict[type[Message], Mapping] = {
    pb.DispatchTransferRequest: Mapping(
        _dispatch, encoder(pb.DispatchTransferResponse, transfer=_transfer, levels=levels)
    ),
    pb.ReceiveTransferRequest: Mapping(
        _receive, encoder(pb.ReceiveTransferResponse, transfer=_transfer, levels=levels)
    ),
    pb.CancelTransferRequest: Mapping(
        _cancel, encoder(pb.CancelTransferResponse, transfer=_transfer, levels=levels)
    ),
}
