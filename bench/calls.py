"""The commands that are measured: how each is asked, and how many its answer accepts."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import grpc

from bench.echo import COMMAND
from inventory.command.v1 import reservation_command_service_pb2 as reservation_pb
from inventory.command.v1 import stock_command_service_pb2 as stock_pb
from inventory.command.v1.reservation_command_service_pb2_grpc import ReservationCommandServiceStub
from inventory.command.v1.stock_command_service_pb2_grpc import StockCommandServiceStub
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT

PLACE = "BENCH-1"


class Call(NamedTuple):
    """A kind of call: its method on a channel, a request of so many commands or levels, those answered."""

    method: Callable[[grpc.aio.Channel], Callable[..., Awaitable[Any]]]
    request: Callable[[str, Sequence[str], int, random.Random], Any]
    accepted: Callable[[Any], int]


def add(request_id: str, skus: Sequence[str], _size: int, rng: random.Random) -> stock_pb.AddStockRequest:
    """Return a command that adds a unit to one of the levels."""
    return stock_pb.AddStockRequest(
        request_id=request_id,
        sku=rng.choice(skus),
        location_id=PLACE,
        quantity=1,
        reason=MOVEMENT_REASON_RECEIPT,
        reference="bench",
    )


def reserve(
    request_id: str, skus: Sequence[str], _size: int, rng: random.Random
) -> reservation_pb.ReserveStockRequest:
    """Return a command that reserves a unit of one of the levels."""
    line = reservation_pb.ReserveLine(sku=rng.choice(skus), location_id=PLACE, quantity=1)
    return reservation_pb.ReserveStockRequest(request_id=request_id, lines=[line], channel="web")


def _batch_add(
    request_id: str, skus: Sequence[str], size: int, rng: random.Random
) -> stock_pb.BatchStockRequest:
    commands = [stock_pb.StockCommand(add=add("", skus, 1, rng)) for _ in range(size)]
    return stock_pb.BatchStockRequest(request_id=request_id, commands=commands)


def _batch_reserve(
    request_id: str, skus: Sequence[str], size: int, rng: random.Random
) -> reservation_pb.BatchReserveStockRequest:
    commands = [reserve("", skus, 1, rng) for _ in range(size)]
    return reservation_pb.BatchReserveStockRequest(request_id=request_id, commands=commands)


def _accepted(answer: stock_pb.BatchStockResponse | reservation_pb.BatchReserveStockResponse) -> int:
    return sum(not result.HasField("error") for result in answer.results)


def _echo(channel: grpc.aio.Channel) -> Callable[..., Awaitable[Any]]:
    return channel.unary_unary(
        COMMAND.path,
        request_serializer=COMMAND.request.SerializeToString,
        response_deserializer=COMMAND.response.FromString,
    )


CALLS: dict[str, Call] = {
    "Echo": Call(_echo, add, lambda _: 1),
    "AddStock": Call(lambda channel: StockCommandServiceStub(channel).AddStock, add, lambda _: 1),
    "ReserveStock": Call(
        lambda channel: ReservationCommandServiceStub(channel).ReserveStock, reserve, lambda _: 1
    ),
    "BatchStock": Call(lambda channel: StockCommandServiceStub(channel).BatchStock, _batch_add, _accepted),
    "BatchReserveStock": Call(
        lambda channel: ReservationCommandServiceStub(channel).BatchReserveStock, _batch_reserve, _accepted
    ),
}
