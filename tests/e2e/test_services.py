"""What is true of every service that runs, through the front door: health, reflection, processes."""

from __future__ import annotations

import json
from functools import partial

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.command.v1.stock_command_service_pb2_grpc import StockCommandServiceStub
from serving.reflection import PUBLIC_SERVICES
from tests.soon import soon
from tests.stack_fixture import RunningStack
from tests.workers import workers

pytestmark = pytest.mark.stack


def serves(answer: health_pb2.HealthCheckResponse) -> bool:
    """Tell whether that is the answer of one that is well."""
    return answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_every_service_says_that_it_serves(stack: RunningStack) -> None:
    ours = [name for name in PUBLIC_SERVICES if name.startswith("inventory.")]
    served = {
        "command": [
            *("", "database", "stock-commands", "upkeep"),
            *(name for name in ours if ".command." in name),
        ],
        "query": ["", *(name for name in ours if ".query." in name)],
    }
    for service, names in served.items():
        async with stack.channel(to=service, identity=service) as channel:
            ask = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
            for name in names:
                question = health_pb2.HealthCheckRequest(service=name)
                await soon(partial(ask, question, timeout=5), serves)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_tells_the_whole_contract(stack: RunningStack, version: str) -> None:
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        *(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name) for name in PUBLIC_SERVICES),
    ]
    async with stack.channel() as channel:
        reflect = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        answers = reflect(iter(requests), timeout=10, metadata=stack.metadata("sue", "operator"))
        listed, *files = [answer async for answer in answers]
    assert {service.name for service in listed.list_services_response.service} == set(PUBLIC_SERVICES)
    assert len(PUBLIC_SERVICES) == 12
    assert all(answer.file_descriptor_response.file_descriptor_proto for answer in files)


@pytest.mark.slow
async def test_calls_are_spread_over_all_processes_of_a_service(stack: RunningStack) -> None:
    streams = 96
    # It is answered, whatever becomes of its command.
    valid = pb.StreamStockRequest(validate_only=True, commands=[pb.StockCommand()])
    with workers(stack, 2):
        log = stack.home.log("command")
        begin = log.stat().st_size
        async with stack.channel() as channel:
            open_one = StockCommandServiceStub(channel).StreamStock
            calls = [open_one(metadata=stack.metadata()) for _ in range(streams)]
            # All are open at once: a sidecar gives so many streams two dozen connections and more, and which
            # process takes a connection is chance.
            for call in calls:
                await call.write(valid)
                assert isinstance(await call.read(), pb.StreamStockResponse)
            # Refusals are logged, with the process that made them.
            for call in calls:
                await call.write(pb.StreamStockRequest())
            codes = [await call.code() for call in calls]
        with log.open() as lines:
            lines.seek(begin)
            entries = [json.loads(line) for line in lines if line.startswith("{")]
    served = [entry["pid"] for entry in entries if entry["event"] == "call refused"]
    assert codes == [grpc.StatusCode.INVALID_ARGUMENT] * streams
    assert len(served) == streams
    assert len(set(served)) == 2
    assert min(served.count(pid) for pid in set(served)) >= streams / 10
