"""The queries that are measured: how each is asked, and how many levels its answer shows."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

from bench.calls import PLACE, Call
from bench.echo import QUERY
from inventory.query.v1 import stock_query_service_pb2 as pb
from inventory.query.v1.stock_query_service_pb2_grpc import StockQueryServiceStub
from inventory.type.v1.stock_pb2 import LevelName


def _level(_: str, skus: Sequence[str], _size: int, rng: random.Random) -> pb.GetStockLevelRequest:
    return pb.GetStockLevelRequest(sku=rng.choice(skus), location_id=PLACE)


def _levels(_: str, skus: Sequence[str], size: int, rng: random.Random) -> pb.BatchGetStockLevelsRequest:
    names = [LevelName(sku=sku, location_id=PLACE) for sku in rng.sample(skus, size)]
    return pb.BatchGetStockLevelsRequest(names=names)


def _availability(_: str, skus: Sequence[str], _size: int, rng: random.Random) -> pb.GetAvailabilityRequest:
    return pb.GetAvailabilityRequest(sku=rng.choice(skus))


def _echo(channel: grpc.aio.Channel) -> Callable[..., Awaitable[Any]]:
    return channel.unary_unary(
        QUERY.path,
        request_serializer=QUERY.request.SerializeToString,
        response_deserializer=QUERY.response.FromString,
    )


CALLS: dict[str, Call] = {
    "EchoLevel": Call(_echo, _level, lambda _: 1),
    "GetStockLevel": Call(lambda channel: StockQueryServiceStub(channel).GetStockLevel, _level, lambda _: 1),
    "BatchGetStockLevels": Call(
        lambda channel: StockQueryServiceStub(channel).BatchGetStockLevels,
        _levels,
        lambda answer: len(answer.levels),
    ),
    "GetAvailability": Call(
        lambda channel: StockQueryServiceStub(channel).GetAvailability, _availability, lambda _: 1
    ),
}
