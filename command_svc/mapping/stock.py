"""The messages of StockCommandService."""

from __future__ import annotations

from typing import cast

from google.protobuf.message import Message

from command_svc.domain.levels import Level, LevelKey
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock, SetStockPolicy
from command_svc.mapping.fields import given, level_key, lot_choice, lot_receipt, occur_time, reason
from command_svc.mapping.requests import Mapping, encoder
from command_svc.messages import level_message
from inventory.command.v1 import stock_command_service_pb2 as pb
from serving.errors import CallError, invalid_field

StockMessage = (
    pb.AddStockRequest
    | pb.RemoveStockRequest
    | pb.AdjustStockRequest
    | pb.MoveStockRequest
    | pb.SetStockPolicyRequest
)

_RESULT_FIELDS = {
    "add": "added",
    "remove": "removed",
    "adjust": "adjusted",
    "move": "moved",
    "set_policy": "policy_set",
}
"""The field of StockCommandResult for each of StockCommand."""


def message_in(command: pb.StockCommand) -> StockMessage:
    """Return the request that a StockCommand wraps; raises CallError INVALID_FIELD if there is none."""
    field = command.WhichOneof("command")
    if field is None:
        raise invalid_field("command", "one of its fields must be set")
    return cast("StockMessage", getattr(command, field))


def result(command: pb.StockCommand, answer: bytes | CallError) -> pb.StockCommandResult:
    """Return the result of a StockCommand from its encoded answer, or from why it was refused."""
    if isinstance(answer, CallError):
        return pb.StockCommandResult(error=answer.to_status())
    made = pb.StockCommandResult()
    getattr(made, _RESULT_FIELDS[str(command.WhichOneof("command"))]).MergeFromString(answer)
    return made


def token_of(done: pb.StockCommandResult) -> str:
    """Return the consistency token of a result, "" if it was refused."""
    field = done.WhichOneof("result")
    return "" if field in {None, "error"} else str(getattr(done, str(field)).consistency_token)


def _add(message: pb.AddStockRequest) -> AddStock:
    return AddStock(
        level_key(message),
        message.quantity,
        reason(message.reason),
        reference=message.reference,
        occur_time=occur_time(message),
        supplier=message.supplier,
        lot=lot_receipt(message),
    )


def _remove(message: pb.RemoveStockRequest) -> RemoveStock:
    return RemoveStock(
        level_key(message),
        message.quantity,
        reason(message.reason),
        reference=message.reference,
        occur_time=occur_time(message),
        lot=lot_choice(message),
    )


def _adjust(message: pb.AdjustStockRequest) -> AdjustStock:
    return AdjustStock(
        level_key(message),
        reason(message.reason),
        counted=given(message, "counted_quantity"),
        delta=message.delta,
        expected_version=given(message, "expected_version"),
        reference=message.reference,
        occur_time=occur_time(message),
        lot=lot_receipt(message),
    )


def _move(message: pb.MoveStockRequest) -> MoveStock:
    return MoveStock(
        LevelKey(message.sku, message.source_location_id),
        LevelKey(message.sku, message.destination_location_id),
        message.quantity,
        reason(message.reason),
        reference=message.reference,
        occur_time=occur_time(message),
        lot=lot_choice(message),
    )


def _set_policy(message: pb.SetStockPolicyRequest) -> SetStockPolicy:
    return SetStockPolicy(
        level_key(message),
        reorder_point=given(message, "reorder_point"),
        safety_stock=given(message, "safety_stock"),
        backorder_limit=given(message, "backorder_limit"),
        expected_version=given(message, "expected_version"),
    )


def _moved(outcome: tuple[Level, Level], request_id: str, token: str) -> Message:
    source, destination = outcome
    return pb.MoveStockResponse(
        request_id=request_id,
        consistency_token=token,
        source=level_message(source),
        destination=level_message(destination),
    )


MAPPINGS: dict[type[Message], Mapping] = {
    pb.AddStockRequest: Mapping(_add, encoder(pb.AddStockResponse, level=level_message)),
    pb.RemoveStockRequest: Mapping(_remove, encoder(pb.RemoveStockResponse, level=level_message)),
    pb.AdjustStockRequest: Mapping(_adjust, encoder(pb.AdjustStockResponse, level=level_message)),
    pb.MoveStockRequest: Mapping(_move, _moved),
    pb.SetStockPolicyRequest: Mapping(_set_policy, encoder(pb.SetStockPolicyResponse, level=level_message)),
}
