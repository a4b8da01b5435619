"""StockCommandService."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, cast

from google.protobuf.message import Message
from grpc.aio import ServicerContext

from command_svc.batcher import Batcher
from command_svc.domain.batch import Command, Outcome, Request
from command_svc.domain.levels import Level, LevelKey
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock, SetStockPolicy
from command_svc.messages import level_message
from command_svc.services.lane import carry_out_batch, carry_out_one, newest
from command_svc.services.requests import make_request, new_request_id, occur_time
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.command.v1.stock_command_service_pb2_grpc import StockCommandServiceServicer
from inventory.type.v1.stock_pb2 import MovementReason
from serving.errors import CallError, invalid_field
from serving.identity import actor
from serving.validation import check

StockMessage = (
    pb.AddStockRequest
    | pb.RemoveStockRequest
    | pb.AdjustStockRequest
    | pb.MoveStockRequest
    | pb.SetStockPolicyRequest
)
KeyedMessage = pb.AddStockRequest | pb.RemoveStockRequest | pb.AdjustStockRequest | pb.SetStockPolicyRequest
Context = ServicerContext[Any, Any]


class StockCommands(StockCommandServiceServicer):
    """Serves the stock commands from one lane."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    async def AddStock(self, request: pb.AddStockRequest, context: Context) -> pb.AddStockResponse:
        """Add units that have arrived."""
        return pb.AddStockResponse.FromString(await self._one(request, context))

    async def RemoveStock(self, request: pb.RemoveStockRequest, context: Context) -> pb.RemoveStockResponse:
        """Remove units that are gone."""
        return pb.RemoveStockResponse.FromString(await self._one(request, context))

    async def AdjustStock(self, request: pb.AdjustStockRequest, context: Context) -> pb.AdjustStockResponse:
        """Correct a level to a counted quantity, or by a delta."""
        return pb.AdjustStockResponse.FromString(await self._one(request, context))

    async def MoveStock(self, request: pb.MoveStockRequest, context: Context) -> pb.MoveStockResponse:
        """Move units from one location to another at once."""
        return pb.MoveStockResponse.FromString(await self._one(request, context))

    async def SetStockPolicy(
        self, request: pb.SetStockPolicyRequest, context: Context
    ) -> pb.SetStockPolicyResponse:
        """Set how a level is kept."""
        return pb.SetStockPolicyResponse.FromString(await self._one(request, context))

    async def BatchStock(self, request: pb.BatchStockRequest, context: Context) -> pb.BatchStockResponse:
        """Carry out many commands in one transaction."""
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
        results = [
            _result(command, answer) for command, answer in zip(request.commands, answers, strict=True)
        ]
        return pb.BatchStockResponse(
            request_id=batch_id, consistency_token=newest(map(_token, results)), results=results
        )

    async def _one(self, message: StockMessage, context: Context) -> bytes:
        check(message)
        request = _request(message, message.request_id or new_request_id(), actor(context))
        return await carry_out_one(self._batcher, request, validate_only=message.validate_only)


class _Mapping(NamedTuple):
    """How a request message becomes a command, and its outcome a response message."""

    command: Callable[[Any], Command]
    response: Callable[[Outcome, str, str], Message]
    result_field: str


def _request(message: StockMessage, request_id: str, caller: str) -> Request:
    mapping = _MAPPINGS[type(message)]
    return make_request(message, request_id, caller, mapping.command(message), mapping.response)


def _batched_request(command: pb.StockCommand, derived_id: str, caller: str) -> Request:
    """Return one command of a batch as a request; raises CallError when it breaks a rule."""
    if command.WhichOneof("command") is None:
        raise invalid_field("command", "one of its fields must be set")
    message = _message(command)
    check(message)  # by itself, so that its status is that of a call of its own
    if message.validate_only:
        raise invalid_field("validate_only", "is for the whole batch to say")
    return _request(message, message.request_id or derived_id, caller)


def _message(command: pb.StockCommand) -> StockMessage:
    return cast("StockMessage", getattr(command, str(command.WhichOneof("command"))))


def _result(command: pb.StockCommand, answer: bytes | CallError) -> pb.StockCommandResult:
    if isinstance(answer, CallError):
        return pb.StockCommandResult(error=answer.to_status())
    result = pb.StockCommandResult()
    getattr(result, _MAPPINGS[type(_message(command))].result_field).MergeFromString(answer)
    return result


def _token(result: pb.StockCommandResult) -> str:
    field = result.WhichOneof("result")
    return "" if field in {None, "error"} else str(getattr(result, str(field)).consistency_token)


def _key(message: KeyedMessage) -> LevelKey:
    return LevelKey(message.sku, message.location_id)


def _reason(value: MovementReason.ValueType) -> str:
    return MovementReason.Name(value).removeprefix("MOVEMENT_REASON_")


def _when(
    message: pb.AddStockRequest | pb.RemoveStockRequest | pb.AdjustStockRequest | pb.MoveStockRequest,
) -> datetime | None:
    return occur_time(message.occur_time if message.HasField("occur_time") else None)


def _add(message: pb.AddStockRequest) -> Command:
    return AddStock(
        _key(message), message.quantity, _reason(message.reason), message.reference, _when(message)
    )


def _remove(message: pb.RemoveStockRequest) -> Command:
    return RemoveStock(
        _key(message), message.quantity, _reason(message.reason), message.reference, _when(message)
    )


def _adjust(message: pb.AdjustStockRequest) -> Command:
    counted = message.counted_quantity if message.HasField("counted_quantity") else None
    return AdjustStock(
        _key(message),
        _reason(message.reason),
        counted=counted,
        delta=message.delta,
        expected_version=message.expected_version if message.HasField("expected_version") else None,
        reference=message.reference,
        occur_time=_when(message),
    )


def _move(message: pb.MoveStockRequest) -> Command:
    return MoveStock(
        LevelKey(message.sku, message.source_location_id),
        LevelKey(message.sku, message.destination_location_id),
        message.quantity,
        _reason(message.reason),
        message.reference,
        _when(message),
    )


def _set_policy(message: pb.SetStockPolicyRequest) -> Command:
    def given(field: str) -> int | None:
        return getattr(message, field) if message.HasField(cast("Any", field)) else None

    return SetStockPolicy(
        _key(message),
        reorder_point=given("reorder_point"),
        safety_stock=given("safety_stock"),
        backorder_limit=given("backorder_limit"),
        expected_version=given("expected_version"),
    )


def _with_level(response: type[Any]) -> Callable[[Outcome, str, str], Message]:
    def encode(outcome: Outcome, request_id: str, token: str) -> Message:
        level = level_message(cast("Level", outcome))
        return cast("Message", response(request_id=request_id, consistency_token=token, level=level))

    return encode


def _moved(outcome: Outcome, request_id: str, token: str) -> Message:
    source, destination = cast("tuple[Level, Level]", outcome)
    return pb.MoveStockResponse(
        request_id=request_id,
        consistency_token=token,
        source=level_message(source),
        destination=level_message(destination),
    )


_MAPPINGS: dict[type[StockMessage], _Mapping] = {
    pb.AddStockRequest: _Mapping(_add, _with_level(pb.AddStockResponse), "added"),
    pb.RemoveStockRequest: _Mapping(_remove, _with_level(pb.RemoveStockResponse), "removed"),
    pb.AdjustStockRequest: _Mapping(_adjust, _with_level(pb.AdjustStockResponse), "adjusted"),
    pb.MoveStockRequest: _Mapping(_move, _moved, "moved"),
    pb.SetStockPolicyRequest: _Mapping(_set_policy, _with_level(pb.SetStockPolicyResponse), "policy_set"),
}
