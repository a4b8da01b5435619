"""The RPCs on a real server in this process: bad input, and what batches do with it."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any, cast

import grpc
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from google.type.latlng_pb2 import LatLng

from buf.validate.validate_pb2 import field as field_rules
from command_svc.batcher import Batcher
from command_svc.services.catalog import ItemCommands, LocationCommands
from command_svc.services.reservations import ReservationCommands
from command_svc.services.stock import StockCommands
from inventory.command.v1 import item_command_service_pb2 as item_pb
from inventory.command.v1 import location_command_service_pb2 as location_pb
from inventory.command.v1 import reservation_command_service_pb2 as reservation_pb
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.command.v1.item_command_service_pb2_grpc import (
    ItemCommandServiceStub,
    add_ItemCommandServiceServicer_to_server,
)
from inventory.command.v1.location_command_service_pb2_grpc import (
    LocationCommandServiceStub,
    add_LocationCommandServiceServicer_to_server,
)
from inventory.command.v1.reservation_command_service_pb2_grpc import (
    ReservationCommandServiceStub,
    add_ReservationCommandServiceServicer_to_server,
)
from inventory.command.v1.stock_command_service_pb2_grpc import (
    StockCommandServiceStub,
    add_StockCommandServiceServicer_to_server,
)
from inventory.type.v1.item_pb2 import ItemKind
from inventory.type.v1.location_pb2 import Address, LocationKind
from inventory.type.v1.reservation_pb2 import RESERVATION_STATE_CANCELLED, RESERVATION_STATE_CONFIRMED
from inventory.type.v1.stock_pb2 import MovementReason
from serving import tokens
from serving.server import GrpcServer, Service
from serving.settings import ServerSettings
from tests.unit.command_svc.memory_store import MemoryStore

Fields = dict[str, object]

BAD_IDS = ["", " MUG", "MUG 1", "-MUG", "MÜG", "M" * 65, "MUG\n", "MUG\0"]
BAD_REQUEST_IDS = [" r", "r 1", "-r", "rü", "r" * 129, "r\n", "r\0"]
BAD_REFERENCES = ["r" * 129, "r\n", "\0", "\x7f", "\x85"]
MOST = 10**12
AHEAD = Timestamp(seconds=int(time.time()) + 3600)
NO_TIMES = [
    AHEAD,
    Timestamp(seconds=10**12),
    Timestamp(seconds=-(10**12)),
    Timestamp(seconds=1_700_000_000, nanos=10**9),
    Timestamp(seconds=1_700_000_000, nanos=-1),
]
ADD: Fields = {"sku": "MUG", "location_id": "WH", "quantity": 5, "reason": "MOVEMENT_REASON_RECEIPT"}
REMOVE: Fields = {"sku": "MUG", "location_id": "WH", "quantity": 5, "reason": "MOVEMENT_REASON_SALE"}
COUNT: Fields = {
    "sku": "MUG",
    "location_id": "WH",
    "counted_quantity": 5,
    "reason": "MOVEMENT_REASON_COUNT",
}
MOVE: Fields = {
    "sku": "MUG",
    "source_location_id": "WH",
    "destination_location_id": "ST",
    "quantity": 5,
    "reason": "MOVEMENT_REASON_REBALANCE",
}
ITEM: Fields = {"sku": "NEW", "name": "New"}
PLACE: Fields = {"location_id": "NEW", "name": "New", "kind": LocationKind.LOCATION_KIND_STORE}
BATCH: Fields = {"commands": [pb.StockCommand(add=pb.AddStockRequest(**ADD))]}  # type: ignore[arg-type]
POLICY: Fields = {"sku": "MUG", "location_id": "WH", "safety_stock": 2}
RESERVE: Fields = {"lines": [reservation_pb.ReserveLine(sku="MUG", location_id="WH", quantity=2)]}
HOLD: Fields = {"reservation_id": "0197a6b2-0000-7000-8000-000000000001"}
MANY: Fields = {"commands": [reservation_pb.ReserveStockRequest(**RESERVE)]}  # type: ignore[arg-type]

# Every RPC with the type and the fields of a good request.
GOOD: dict[str, tuple[type[Message], Fields]] = {
    "AddStock": (pb.AddStockRequest, ADD),
    "RemoveStock": (pb.RemoveStockRequest, REMOVE),
    "AdjustStock": (pb.AdjustStockRequest, COUNT),
    "MoveStock": (pb.MoveStockRequest, MOVE),
    "SetStockPolicy": (pb.SetStockPolicyRequest, POLICY),
    "BatchStock": (pb.BatchStockRequest, BATCH),
    "ReserveStock": (reservation_pb.ReserveStockRequest, RESERVE),
    "ConfirmReservation": (reservation_pb.ConfirmReservationRequest, HOLD),
    "CancelReservation": (reservation_pb.CancelReservationRequest, HOLD),
    "ExtendReservation": (
        reservation_pb.ExtendReservationRequest,
        {**HOLD, "time_to_live": Duration(seconds=60)},
    ),
    "BatchReserveStock": (reservation_pb.BatchReserveStockRequest, MANY),
    "CreateItem": (item_pb.CreateItemRequest, ITEM),
    "CreateLocation": (location_pb.CreateLocationRequest, PLACE),
}
# Those that are refused, or refuse their commands, while nothing is there.
TAKERS = {
    "RemoveStock",
    "MoveStock",
    "ReserveStock",
    "ConfirmReservation",
    "CancelReservation",
    "ExtendReservation",
    "BatchReserveStock",
}
# The reasons that each command lists in its contract.
REASONS = {
    "AddStock": "RECEIPT RETURN PRODUCTION OPENING FOUND CORRECTION",
    "RemoveStock": "SALE DAMAGE LOSS THEFT SAMPLE INTERNAL_USE EXPIRED CORRECTION SUPPLIER_RETURN",
    "AdjustStock": "COUNT CORRECTION FOUND DAMAGE LOSS THEFT EXPIRED",
    "MoveStock": "REBALANCE RETURN CORRECTION",
}

Case = tuple[str, Fields, str]


def each(rpcs: str, field: str, values: list[Any], path: str | None = None) -> Iterator[Case]:
    """Yield a case for every RPC and every bad value of a field; `path` is what the refusal names."""
    for rpc, value in itertools.product(rpcs.split(), values):
        yield rpc, {field: value}, field if path is None else path


def wrong_reasons() -> Iterator[Case]:
    """Yield every reason that a command does not list, and one that nobody knows."""
    for rpc, listed in REASONS.items():
        right = {f"MOVEMENT_REASON_{name}" for name in listed.split()}
        for name, number in MovementReason.items():
            if name not in right:
                yield rpc, {"reason": number}, "reason"
        yield rpc, {"reason": 99}, "reason"


def bad_keys() -> Iterator[Case]:
    """Yield keys that no metadata may have."""
    for key in ("", "a b", "ключ", "k" * 65, "a/b", "k\n"):
        yield "CreateItem", {"metadata": {key: "value"}}, f'metadata["{key}"]'


STOCK = "AddStock RemoveStock AdjustStock MoveStock"
RESOLVE = "ConfirmReservation CancelReservation ExtendReservation"
ALL = f"{STOCK} SetStockPolicy BatchStock ReserveStock {RESOLVE} BatchReserveStock CreateItem CreateLocation"
CONTROL = ["a\0b", "a\nb", "\x1b[1m", "a\x9fb"]
CASES: list[Case] = [
    *each(ALL, "request_id", BAD_REQUEST_IDS),
    *each(f"{STOCK} SetStockPolicy CreateItem", "sku", BAD_IDS),
    *each("AddStock RemoveStock AdjustStock SetStockPolicy CreateLocation", "location_id", BAD_IDS),
    *each("MoveStock", "source_location_id", BAD_IDS),
    *each("MoveStock", "destination_location_id", BAD_IDS),
    # Two rules of the whole message have its path, which is empty.
    *each("MoveStock", "destination_location_id", ["WH"], ""),
    *each("AddStock RemoveStock MoveStock", "quantity", [0, -1, MOST + 1, 2**63 - 1, -(2**63)]),
    *each("AdjustStock", "counted_quantity", [-1, MOST + 1, 2**63 - 1]),
    *each("AdjustStock", "delta", [0, MOST + 1, -MOST - 1, -(2**63)]),
    *each("AdjustStock", "counted_quantity", [None], "adjustment"),
    *each("AdjustStock SetStockPolicy", "expected_version", [-1, -(2**63)]),
    *each("SetStockPolicy", "safety_stock", [None], ""),
    *each("SetStockPolicy", "safety_stock", [-1, MOST + 1]),
    *each("SetStockPolicy", "reorder_point", [-1, MOST + 1]),
    *each("SetStockPolicy", "backorder_limit", [-1, MOST + 1]),
    *each("ReserveStock", "lines", [[], [reservation_pb.ReserveLine(sku="MUG", quantity=1)] * 101]),
    *each(
        "ReserveStock",
        "lines",
        [[reservation_pb.ReserveLine(sku=one, quantity=1)] for one in BAD_IDS],
        "lines[0].sku",
    ),
    *each(
        "ReserveStock",
        "lines",
        [[reservation_pb.ReserveLine(sku="MUG", quantity=one)] for one in (0, -1, MOST + 1)],
        "lines[0].quantity",
    ),
    *each(
        "ReserveStock",
        "lines",
        [[reservation_pb.ReserveLine(sku="MUG", location_id="a b", quantity=1)]],
        "lines[0].location_id",
    ),
    *each(
        "ReserveStock ExtendReservation",
        "time_to_live",
        [Duration(seconds=one) for one in (0, -1, 604_801)],
    ),
    *each("ExtendReservation", "time_to_live", [None]),
    *each("ReserveStock", "strategy", [99, -1]),
    *each("ReserveStock", "strategy", [reservation_pb.SOURCING_STRATEGY_NEAREST], ""),
    *each("ReserveStock", "destination", [LatLng(latitude=91), LatLng(longitude=-181)]),
    *each("ReserveStock", "channel", ["Web", "a b", "x" * 33]),
    *each("ReserveStock", "reference", BAD_REFERENCES),
    *each(RESOLVE, "reservation_id", ["", "1", "0197a6b2-0000-7000-8000-00000000000g"]),
    *each(
        "ConfirmReservation",
        "lines",
        [[reservation_pb.ConfirmLine(sku="MUG", location_id="WH", quantity=1)] * 101],
    ),
    *each(
        "ConfirmReservation",
        "lines",
        [[reservation_pb.ConfirmLine(sku="MUG", location_id="WH")]],
        "lines[0].quantity",
    ),
    *each("BatchReserveStock", "commands", [[], [reservation_pb.ReserveStockRequest()] * 1001]),
    *wrong_reasons(),
    *each(STOCK, "reference", BAD_REFERENCES),
    *each(STOCK, "occur_time", NO_TIMES),
    *each("BatchStock", "commands", [[], [pb.StockCommand()] * 1001]),
    *each("CreateItem CreateLocation", "name", ["", "x" * 201, *CONTROL]),
    *each("CreateItem", "description", ["x" * 4001, "a\0b"]),
    *each("CreateItem", "kind", [99, -1]),
    *each("CreateItem", "unit_of_measure", ["x" * 33, *CONTROL]),
    *each("CreateItem", "categories", [["c"] * 2, [str(n) for n in range(21)]]),
    *each("CreateItem", "categories", [["a", one] for one in ("", "x" * 201, *CONTROL)], "categories[1]"),
    *each("CreateItem", "tags", [["t"] * 2, [str(n) for n in range(51)]]),
    *each("CreateItem", "tags", [["a", one] for one in ("", "x" * 65, *CONTROL)], "tags[1]"),
    *each("CreateItem", "barcodes", [["96385074"] * 2, [f"{n:08}" for n in range(21)]]),
    *each(
        "CreateItem",
        "barcodes",
        [
            ["96385074", one]
            for one in ("", "1", "x" * 13, "4006381333932", "96385075", "036000291453", "10614141000416")
        ]
        + [["96385074", "4006381333931\n"], ["96385074", "٩٦٣٨٥٠٧٤"]],
        "barcodes[1]",
    ),
    *each("CreateItem", "metadata", [{str(n): "" for n in range(51)}]),
    *bad_keys(),
    *each("CreateItem", "metadata", [{"k": one} for one in ("x" * 501, *CONTROL)], 'metadata["k"]'),
    *each("CreateLocation", "kind", [0, 99, -1]),
    *each(
        "CreateLocation",
        "address",
        [Address(region_code=one) for one in ("gb", "G", "GBR", "G1", "GB\n")],
        "address.region_code",
    ),
    *each(
        "CreateLocation",
        "address",
        [Address(postal_code=one) for one in ("x" * 17, *CONTROL)],
        "address.postal_code",
    ),
    *each(
        "CreateLocation",
        "address",
        [Address(locality=one) for one in ("x" * 101, *CONTROL)],
        "address.locality",
    ),
    *each("CreateLocation", "address", [Address(lines=["x"] * 6)], "address.lines"),
    *each(
        "CreateLocation",
        "address",
        [Address(lines=["x", one]) for one in ("", "x" * 201, *CONTROL)],
        "address.lines[1]",
    ),
    *each(
        "CreateLocation",
        "coordinates",
        [
            *(LatLng(latitude=one) for one in (90.001, -90.001, math.nan, math.inf, -math.inf)),
            *(LatLng(longitude=one) for one in (180.001, -180.001, math.nan, math.inf, -math.inf)),
        ],
    ),
    *each("CreateLocation", "time_zone", ["Mars/Olympus", "europe/berlin", "UTC+1", "../UTC", "x" * 65]),
    # What the machine calls its own zone is no name that others know.
    *each("CreateLocation", "time_zone", ["localtime", "/etc/localtime"]),
    *each("CreateLocation", "priority", [-1, 10_001]),
]


def build(rpc: str, change: Fields) -> Message:
    """Return the RPC's good request with other values in the changed fields; None leaves a field out."""
    kind, good = GOOD[rpc]
    fields = {name: value for name, value in {**good, **change}.items() if value is not None}
    if "delta" in change:
        del fields["counted_quantity"]
    return kind(**fields)


class Commands:
    """Stubs of the services, as one."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stubs = [
            StockCommandServiceStub(channel),
            ItemCommandServiceStub(channel),
            LocationCommandServiceStub(channel),
            ReservationCommandServiceStub(channel),
        ]

    async def call(self, rpc: str, request: Message, *, actor: str | bytes | None = None) -> Any:  # noqa: ANN401
        """Call an RPC by its name."""
        (method,) = (getattr(stub, rpc) for stub in self._stubs if hasattr(stub, rpc))
        metadata = [] if actor is None else [("x-inventory-actor", actor)]
        return await method(request, timeout=5, metadata=metadata)


@pytest.fixture
def store() -> MemoryStore:
    """Give a store in memory."""
    return MemoryStore()


@pytest.fixture
async def commands(store: MemoryStore) -> AsyncIterator[Commands]:
    """Give stubs of a server, in this process, that serves all commands from the store."""
    settings = ServerSettings.model_validate(
        {"listen": "127.0.0.1:0", "drain_seconds": 0, "grace_seconds": 1}
    )
    async with Batcher(store) as batcher:
        services = [
            Service("stock", lambda s: add_StockCommandServiceServicer_to_server(StockCommands(batcher), s)),
            Service("item", lambda s: add_ItemCommandServiceServicer_to_server(ItemCommands(batcher), s)),
            Service(
                "place",
                lambda s: add_LocationCommandServiceServicer_to_server(LocationCommands(batcher), s),
            ),
            Service(
                "reservation",
                lambda s: add_ReservationCommandServiceServicer_to_server(ReservationCommands(batcher), s),
            ),
        ]
        server = GrpcServer(settings, services, dependencies=[], unavailable={})
        port = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Commands(channel)
        await server.shut_down()


class Refused:
    """A status with its details, taken apart."""

    def __init__(self, status: status_pb2.Status) -> None:
        info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        for detail in status.details:
            detail.Unpack(info)
            detail.Unpack(bad_request)
        self.code = status.code
        self.domain = info.domain
        self.reason = info.reason
        self.metadata = dict(info.metadata)
        self.fields = {violation.field for violation in bad_request.field_violations}


async def refusal(call: Awaitable[object]) -> Refused:
    """Return why the call is refused; fail if it is not."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    packed = cast("bytes", (refused.value.trailing_metadata() or {})["grpc-status-details-bin"])
    status = status_pb2.Status.FromString(packed)
    assert status.code == refused.value.code().value[0]
    return Refused(status)


@pytest.mark.parametrize(
    ("rpc", "change", "field"),
    CASES,
    ids=[f"{number}-{rpc}-{next(iter(change))}" for number, (rpc, change, _) in enumerate(CASES)],
)
async def test_a_broken_rule_is_refused_by_the_path_of_its_field_and_writes_nothing(
    commands: Commands, store: MemoryStore, rpc: str, change: Fields, field: str
) -> None:
    refused = await refusal(commands.call(rpc, build(rpc, change)))
    assert (refused.code, refused.domain, refused.reason) == (3, "inventory", "INVALID_FIELD")
    assert refused.fields == {field}
    assert refused.metadata == {"field": field}
    assert store.transactions == 0


@pytest.mark.parametrize("rpc", GOOD)
@pytest.mark.parametrize("actor", ["", " ", "a b", "-a", "a" * 129, "a\\b"])
async def test_a_malformed_actor_is_refused(
    commands: Commands, store: MemoryStore, rpc: str, actor: str
) -> None:
    refused = await refusal(commands.call(rpc, build(rpc, {}), actor=actor))
    assert (refused.code, refused.reason) == (3, "INVALID_FIELD")
    assert refused.fields == {"x-inventory-actor"}
    assert store.transactions == 0


def test_every_rule_of_every_request_is_broken_by_a_case() -> None:
    tried = {(rpc, re.sub(r"\[.*\]", "", field)) for rpc, _, field in CASES}
    missing = {
        (rpc, path)
        for rpc, (kind, _) in GOOD.items()
        for path in ruled(cast("Descriptor", kind.DESCRIPTOR))
        if (rpc, path) not in tried
    }
    assert not missing
    rpcs = {
        method.name
        for contract in (pb, item_pb, location_pb, reservation_pb)
        for service in contract.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert set(GOOD) == rpcs


def ruled(message: Descriptor, prefix: str = "") -> Iterator[str]:
    """Yield the path of each field that has a rule, and of each time, whose rule is in words."""
    for one in message.fields:
        path = f"{prefix}{one.name}"
        kind = one.message_type
        is_time = kind is not None and kind.full_name == "google.protobuf.Timestamp"
        if is_time or one.GetOptions().HasExtension(field_rules):
            yield path
        elif kind is not None and kind.full_name.startswith("inventory.type."):
            yield from ruled(kind, f"{path}.")
    for oneof in message.oneofs:
        if not oneof.name.startswith("_"):
            yield oneof.name


@pytest.mark.parametrize(
    ("rpc", "change"),
    [
        *((rpc, {}) for rpc in GOOD if rpc not in TAKERS),
        *(("AddStock", {"quantity": one}) for one in (1, MOST)),
        *(("AddStock", {"reason": f"MOVEMENT_REASON_{one}"}) for one in REASONS["AddStock"].split()),
        *(("AdjustStock", {"reason": f"MOVEMENT_REASON_{one}"}) for one in REASONS["AdjustStock"].split()),
        ("AdjustStock", {"counted_quantity": 0, "expected_version": 0}),
        ("AdjustStock", {"delta": MOST}),
        ("AddStock", {"request_id": "r" * 128, "reference": "ü" * 128}),
        ("AddStock", {"occur_time": Timestamp(seconds=int(time.time()) + 200)}),
        ("AddStock", {"occur_time": Timestamp(seconds=-62_135_596_800)}),
        ("CreateItem", {"sku": "S" * 64, "name": "ж" * 200, "description": "x\n" * 2000}),
        ("CreateItem", {"kind": ItemKind.ITEM_KIND_DIGITAL, "unit_of_measure": "g"}),
        ("CreateItem", {"barcodes": ["96385074", "036000291452", "4006381333931", "10614141000415"]}),
        (
            "CreateItem",
            {
                "categories": [f"{n}" for n in range(20)],
                "tags": [f"{n}" for n in range(50)],
                "metadata": {f"k{n}": "v" * 500 for n in range(50)},
            },
        ),
        ("CreateLocation", {"coordinates": LatLng(latitude=-90, longitude=180), "priority": 10_000}),
        ("CreateLocation", {"time_zone": "Europe/Berlin", "address": Address(lines=["x" * 200] * 5)}),
    ],
)
async def test_what_lies_on_the_edge_is_accepted(commands: Commands, rpc: str, change: Fields) -> None:
    answer = await commands.call(rpc, build(rpc, change), actor="a" * 128)
    assert answer.request_id
    assert answer.consistency_token


@pytest.mark.parametrize(
    ("rpc", "reason"),
    [(rpc, reason) for rpc in ("RemoveStock", "MoveStock") for reason in REASONS[rpc].split()],
)
async def test_every_reason_to_take_is_accepted(commands: Commands, rpc: str, reason: str) -> None:
    await commands.call("AddStock", build("AddStock", {}))
    await commands.call(rpc, build(rpc, {"reason": f"MOVEMENT_REASON_{reason}"}))


async def test_of_two_adjustments_the_last_counts(commands: Commands, store: MemoryStore) -> None:
    """A oneof cannot hold both: what the wire says last is what the caller asks."""
    by_delta = pb.AdjustStockRequest(**{**COUNT, "counted_quantity": None, "delta": 3})  # type: ignore[arg-type]
    counted = pb.AdjustStockRequest(counted_quantity=5)
    both = pb.AdjustStockRequest.FromString(by_delta.SerializeToString() + counted.SerializeToString())
    answer = await commands.call("AdjustStock", both)
    assert answer.level.on_hand == 5
    assert len(store.ledger) == 1


async def test_every_broken_rule_is_named_at_once(commands: Commands) -> None:
    refused = await refusal(
        commands.call("AddStock", pb.AddStockRequest(sku="a b", quantity=-1, reference="\0"))
    )
    assert refused.fields == {"sku", "location_id", "quantity", "reason", "reference"}


async def test_a_generated_request_id_comes_back_and_is_new_each_time(
    commands: Commands, store: MemoryStore
) -> None:
    first = await commands.call("AddStock", build("AddStock", {}))
    second = await commands.call("AddStock", build("AddStock", {}))
    assert first.request_id != second.request_id
    assert store.records.keys() == {first.request_id, second.request_id}
    assert second.level.on_hand == 10


@pytest.mark.parametrize("rpc", ["AddStock", "AdjustStock", "BatchStock", "CreateItem", "CreateLocation"])
async def test_a_replay_is_answered_alike_and_another_callers_is_refused(
    commands: Commands, store: MemoryStore, rpc: str
) -> None:
    request = build(rpc, {"request_id": "r"})
    first = await commands.call(rpc, request, actor="ann")
    kept = dict(store.records)
    assert await commands.call(rpc, request, actor="ann") == first
    assert store.records == kept

    if rpc == "BatchStock":
        again = await commands.call(rpc, request, actor="bob")
        reused = Refused(again.results[0].error)
    else:
        reused = await refusal(commands.call(rpc, request, actor="bob"))
    assert (reused.code, reused.reason) == (10, "REQUEST_ID_REUSED")
    assert store.records == kept


@pytest.mark.parametrize("rpc", ["AddStock", "AdjustStock", "BatchStock", "CreateItem", "CreateLocation"])
async def test_validating_alone_answers_as_usual_and_changes_nothing(
    commands: Commands, store: MemoryStore, rpc: str
) -> None:
    answer = await commands.call(rpc, build(rpc, {"validate_only": True, "request_id": "r"}))
    assert (answer.request_id, answer.consistency_token) == ("r", "")
    assert store.is_untouched
    assert (await commands.call(rpc, build(rpc, {"request_id": "r"}))).consistency_token


def batched(*given: Fields) -> list[pb.StockCommand]:
    """Return commands of a batch, each the fields of a kind named by `kind`, "add" if none."""
    return [
        pb.StockCommand(**{str(fields.get("kind", "add")): {k: v for k, v in fields.items() if k != "kind"}})  # type: ignore[arg-type]
        for fields in given
    ]


def outcomes(answer: pb.BatchStockResponse | reservation_pb.BatchReserveStockResponse) -> list[str | None]:
    """Return which result each command has."""
    return [result.WhichOneof("result") for result in answer.results]


async def test_an_invalid_command_of_a_batch_fails_by_itself_with_the_status_of_its_own_call(
    commands: Commands, store: MemoryStore
) -> None:
    bad: list[tuple[Fields, str]] = [
        ({**ADD, "quantity": 0}, "quantity"),
        ({**ADD, "occur_time": AHEAD}, "occur_time"),
        ({**ADD, "validate_only": True}, "validate_only"),
        ({**ADD, "request_id": "a b"}, "request_id"),
        ({**MOVE, "kind": "move", "destination_location_id": "WH"}, ""),
        ({**COUNT, "kind": "adjust", "reason": 1}, "reason"),
    ]
    given = batched(ADD, *(fields for fields, _ in bad), {**REMOVE, "kind": "remove", "quantity": 2})
    answer = await commands.call("BatchStock", pb.BatchStockRequest(commands=[*given, pb.StockCommand()]))
    assert outcomes(answer) == ["added", *["error"] * len(bad), "removed", "error"]
    for result, field in zip(
        [*answer.results[1:-2], answer.results[-1]], [*(f for _, f in bad), "command"], strict=True
    ):
        refused = Refused(result.error)
        assert (refused.code, refused.reason, refused.fields) == (3, "INVALID_FIELD", {field})
    assert answer.results[-2].removed.level.on_hand == 3
    assert len(store.ledger) == 2


@pytest.mark.parametrize(
    ("broken", "field"),
    [({**ADD, "quantity": 0}, "quantity"), ({**ADD, "occur_time": AHEAD}, "occur_time"), (None, "command")],
)
async def test_an_invalid_command_fails_an_atomic_batch_which_names_it(
    commands: Commands, store: MemoryStore, broken: Fields | None, field: str
) -> None:
    bad = pb.StockCommand() if broken is None else batched(broken)[0]
    refused = await refusal(
        commands.call(
            "BatchStock", pb.BatchStockRequest(atomic=True, commands=[*batched(ADD, ADD), bad, *batched(ADD)])
        )
    )
    assert (refused.code, refused.reason, refused.fields) == (3, "INVALID_FIELD", {field})
    assert refused.metadata == {"field": field, "command_index": "2"}
    assert store.transactions == 0


async def test_a_refused_command_fails_an_atomic_batch_which_names_it(
    commands: Commands, store: MemoryStore
) -> None:
    given = batched(ADD, {**REMOVE, "kind": "remove", "quantity": 6}, ADD)
    refused = await refusal(commands.call("BatchStock", pb.BatchStockRequest(atomic=True, commands=given)))
    assert (refused.code, refused.reason) == (9, "INSUFFICIENT_STOCK")
    assert refused.metadata == {
        "sku": "MUG",
        "location_id": "WH",
        "requested": "6",
        "available": "5",
        "command_index": "1",
    }
    assert store.is_untouched


async def test_a_batch_gives_ids_to_the_commands_that_bring_none(
    commands: Commands, store: MemoryStore
) -> None:
    given = batched(ADD, {**ADD, "request_id": "mine"}, {**REMOVE, "kind": "remove", "quantity": 1})
    answer = await commands.call("BatchStock", pb.BatchStockRequest(request_id="batch", commands=given))
    assert answer.request_id == "batch"
    assert [one.added.request_id for one in answer.results[:2]] == ["batch.0", "mine"]
    assert answer.results[2].removed.request_id == "batch.2"
    assert store.records.keys() == {"batch.0", "mine", "batch.2"}
    assert [entry.request_id for entry in store.ledger] == ["batch.0", "mine", "batch.2"]


async def test_a_batchs_token_is_that_of_what_it_committed_and_empty_when_nothing_was(
    commands: Commands,
) -> None:
    answer = await commands.call(
        "BatchStock",
        pb.BatchStockRequest(commands=batched({**REMOVE, "kind": "remove"}, ADD, {**ADD, "sku": "NO"})),
    )
    assert outcomes(answer) == ["error", "added", "error"]
    assert answer.consistency_token == answer.results[1].added.consistency_token
    assert tokens.decode(answer.consistency_token)
    nothing = await commands.call(
        "BatchStock", pb.BatchStockRequest(commands=batched({**ADD, "sku": "NO"}, {**ADD, "quantity": 0}))
    )
    assert outcomes(nothing) == ["error", "error"]
    assert nothing.consistency_token == ""


async def test_a_whole_batch_is_validated_by_its_own_field(commands: Commands, store: MemoryStore) -> None:
    given = batched(ADD, {**REMOVE, "kind": "remove", "quantity": 6})
    answer = await commands.call("BatchStock", pb.BatchStockRequest(validate_only=True, commands=given))
    assert outcomes(answer) == ["added", "error"]
    assert answer.results[0].added.level.on_hand == 5
    assert answer.consistency_token == answer.results[0].added.consistency_token == ""
    assert store.is_untouched


async def test_the_largest_batch_of_the_longest_commands_is_carried_out(
    commands: Commands, store: MemoryStore
) -> None:
    longest = {**ADD, "reference": "r" * 128, "occur_time": Timestamp(seconds=1_700_000_000)}
    answer = await commands.call(
        "BatchStock", pb.BatchStockRequest(request_id="b" * 128, commands=batched(*[longest] * 1000))
    )
    assert set(outcomes(answer)) == {"added"}
    assert answer.results[-1].added.level.version == len(store.ledger) == 1000


async def held(commands: Commands, **fields: object) -> reservation_pb.ReserveStockResponse:
    """Reserve two of five units that are there; return the answer."""
    await commands.call("AddStock", build("AddStock", {}))
    answer = await commands.call("ReserveStock", build("ReserveStock", fields))
    assert isinstance(answer, reservation_pb.ReserveStockResponse)
    return answer


async def test_a_reservation_is_answered_with_what_it_holds_and_the_levels_it_left(
    commands: Commands, store: MemoryStore
) -> None:
    answer = await held(commands, reference="cart-1", channel="web", request_id="r")
    (line,) = answer.reservation.lines
    assert (line.sku, line.location_id, line.quantity) == ("MUG", "WH", 2)
    assert (answer.reservation.reference, answer.reservation.channel) == ("cart-1", "web")
    (level,) = answer.levels
    assert (level.on_hand, level.reserved, level.sellable) == (5, 2, 3)
    again = await commands.call(
        "ReserveStock", build("ReserveStock", {"reference": "cart-1", "channel": "web", "request_id": "r"})
    )
    assert again == answer
    assert len(store.reservations) == 1


async def test_a_hold_is_resolved_once_and_told_so_afterwards(commands: Commands) -> None:
    reservation_id = (await held(commands)).reservation.reservation_id
    confirmed = await commands.call(
        "ConfirmReservation",
        reservation_pb.ConfirmReservationRequest(
            reservation_id=reservation_id,
            lines=[reservation_pb.ConfirmLine(sku="MUG", location_id="WH", quantity=1)],
            release_rest=True,
        ),
    )
    assert confirmed.reservation.state == RESERVATION_STATE_CONFIRMED
    assert [(one.on_hand, one.reserved) for one in confirmed.levels] == [(4, 0)]
    for rpc in RESOLVE.split():
        refused = await refusal(commands.call(rpc, build(rpc, {"reservation_id": reservation_id})))
        assert (refused.code, refused.reason) == (9, "RESERVATION_RESOLVED")
        assert refused.metadata == {"reservation_id": reservation_id, "state": "CONFIRMED"}


async def test_an_unknown_hold_is_not_found(commands: Commands) -> None:
    for rpc in RESOLVE.split():
        refused = await refusal(commands.call(rpc, build(rpc, {})))
        assert (refused.code, refused.reason) == (5, "RESERVATION_NOT_FOUND")


async def test_a_hold_is_extended_from_now_on(commands: Commands) -> None:
    reservation = (await held(commands)).reservation
    extended = await commands.call(
        "ExtendReservation", build("ExtendReservation", {"reservation_id": reservation.reservation_id})
    )
    # The clock of the store in memory stands still: fifteen minutes by default, then one.
    assert reservation.expire_time.seconds - extended.reservation.expire_time.seconds == 14 * 60
    assert extended.reservation.version == 2


async def test_a_cancelled_hold_gives_back_what_it_held(commands: Commands) -> None:
    reservation_id = (await held(commands)).reservation.reservation_id
    answer = await commands.call(
        "CancelReservation", build("CancelReservation", {"reservation_id": reservation_id})
    )
    assert answer.reservation.state == RESERVATION_STATE_CANCELLED
    assert [(one.on_hand, one.reserved) for one in answer.levels] == [(5, 0)]


async def test_each_reservation_of_a_batch_has_its_own_result(commands: Commands, store: MemoryStore) -> None:
    await commands.call("AddStock", build("AddStock", {}))
    wanted = [
        reservation_pb.ReserveStockRequest(**RESERVE),  # type: ignore[arg-type]
        reservation_pb.ReserveStockRequest(),
        reservation_pb.ReserveStockRequest(**RESERVE, validate_only=True),  # type: ignore[arg-type]
        *(reservation_pb.ReserveStockRequest(**RESERVE) for _ in range(2)),  # type: ignore[arg-type]
    ]
    request = reservation_pb.BatchReserveStockRequest(request_id="b", commands=wanted)
    answer = await commands.call("BatchReserveStock", request)
    assert outcomes(answer) == ["reserved", "error", "error", "reserved", "error"]
    assert Refused(answer.results[4].error).reason == "INSUFFICIENT_STOCK"
    assert len(store.reservations) == 2
    request.atomic, request.request_id = True, "c"
    request.commands.pop(1)
    request.commands.pop(1)
    refused = await refusal(commands.call("BatchReserveStock", request))
    assert (refused.reason, refused.metadata["command_index"]) == ("INSUFFICIENT_STOCK", "0")
    assert len(store.reservations) == 2


async def test_a_policy_holds_back_what_it_says(commands: Commands) -> None:
    await commands.call("AddStock", build("AddStock", {}))
    answer = await commands.call("SetStockPolicy", build("SetStockPolicy", {"reorder_point": 9}))
    assert (answer.level.safety_stock, answer.level.sellable, answer.level.low) == (2, 3, True)
    refused = await refusal(commands.call("SetStockPolicy", build("SetStockPolicy", {"expected_version": 1})))
    assert (refused.code, refused.reason) == (10, "VERSION_MISMATCH")
