"""Callers are held to their roles and, as clerks, to their locations: alone, in batches and in streams."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command_svc.batcher import Batcher
from command_svc.domain.levels import LevelKey
from inventory.command.v1 import stock_command_service_pb2 as stock
from inventory.type.v1.access_pb2 import Role
from serving.access import ACCESS, role_name
from tests.unit.command_svc.memory_store import MemoryStore
from tests.unit.command_svc.services.calling import Commands, Refused, make_server, refusal
from tests.unit.command_svc.services.good import ADD, AN_ID, COUNT, KEY, LINE, MOVE, REMOVE, SENT, Fields
from tests.unit.serving.issuing import ISSUER, Issuer

As = Callable[..., Commands]
ELSEWHERE: Fields = {"sku": "MUG", "location_id": "ST"}


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """Give an issuer."""
    return Issuer(tmp_path_factory.mktemp("issuer") / "jwks.json")


@pytest.fixture
async def signed_in(store: MemoryStore, issuer: Issuer) -> AsyncIterator[As]:
    """Give a function from roles, and other claims, to the commands as called with a token for them."""
    async with Batcher(store) as batcher:
        server = make_server(batcher, identity_issuer=ISSUER, identity_jwks=str(issuer.file))
        port = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:

            def sign_in(*roles: str, stepped_up: bool = True, **claims: Any) -> Commands:  # noqa: ANN401
                proof: dict[str, Any] = {"auth_time": int(time.time()), "amr": ["mfa"]} if stepped_up else {}
                return Commands(channel, issuer.token(roles=list(roles), **proof, **claims))

            yield sign_in
        await server.shut_down()


def is_foreign(refused: Refused, location_id: str = "ST") -> bool:
    """Tell whether a refusal says that the caller does not act at a location."""
    return (refused.code, refused.reason, refused.metadata) == (
        7,
        "LOCATION_NOT_ALLOWED",
        {"location_id": location_id},
    )


async def test_the_ledger_names_the_verified_caller(signed_in: As, store: MemoryStore) -> None:
    clerk = signed_in("clerk", sub="auth0|77", locations=["WH"])
    await clerk.call("AddStock", stock.AddStockRequest(**ADD), actor="somebody-else")
    assert [one.why.cause.actor for one in store.ledger] == ["auth0|77"]


@pytest.mark.parametrize(
    ("rpc", "fields"),
    [
        ("AddStock", {**ADD, **ELSEWHERE}),
        ("RemoveStock", {**REMOVE, **ELSEWHERE}),
        ("AdjustStock", {**COUNT, **ELSEWHERE}),
        ("MoveStock", MOVE),
        ("MoveStock", {**MOVE, "source_location_id": "ST", "destination_location_id": "WH"}),
        ("ConfirmReservation", {"reservation_id": AN_ID, "lines": [{**LINE, **ELSEWHERE}]}),
        ("FulfillOrder", {"order_id": AN_ID, "lines": [{**LINE, **ELSEWHERE}]}),
        ("DispatchTransfer", {"source_location_id": "ST", "destination_location_id": "WH", "lines": [SENT]}),
        ("DispatchTransfer", {"source_location_id": "", "supplier": "ACME", "lines": [SENT]}),
    ],
)
async def test_a_clerk_is_refused_where_the_request_names_another_location(
    signed_in: As, store: MemoryStore, rpc: str, fields: Fields
) -> None:
    clerk = signed_in("clerk", locations=["WH"])
    assert is_foreign(await refusal(clerk.do(rpc, **fields)))
    nowhere = signed_in("clerk")
    assert (await refusal(nowhere.do(rpc, **fields))).reason == "LOCATION_NOT_ALLOWED"
    assert store.transactions == 0


async def test_a_clerk_acts_at_its_own_locations(signed_in: As, store: MemoryStore) -> None:
    clerk = signed_in("clerk", locations=["WH", "ST"])
    await clerk.do("AddStock")
    await clerk.do("MoveStock", quantity=1)
    await clerk.do("AdjustStock")
    await clerk.do("RemoveStock")
    assert store.levels[LevelKey("MUG", "ST")].on_hand == 1


async def test_each_end_of_a_transfer_is_for_its_own_clerk(signed_in: As, store: MemoryStore) -> None:
    sender, receiver = (signed_in("clerk", sub=place, locations=[place]) for place in ("WH", "ST"))
    await sender.do("AddStock")
    sent = (await sender.do("DispatchTransfer")).transfer.transfer_id
    assert is_foreign(await refusal(sender.do("ReceiveTransfer", transfer_id=sent)))
    lost: Fields = {"close": True, "write_off_reason": "MOVEMENT_REASON_LOSS"}
    assert is_foreign(await refusal(sender.do("ReceiveTransfer", transfer_id=sent, **lost)))
    assert is_foreign(await refusal(receiver.do("CancelTransfer", transfer_id=sent)), "WH")
    received = await receiver.do("ReceiveTransfer", transfer_id=sent, lines=[{"sku": "MUG", "quantity": 1}])
    assert [one.location_id for one in received.levels] == ["ST"]
    await sender.do("CancelTransfer", transfer_id=sent)
    assert store.levels[LevelKey("MUG", "WH")].on_hand == 4
    assert store.levels[LevelKey("MUG", "ST")].on_hand == 1

    expected = await receiver.do("DispatchTransfer", source_location_id="", supplier="ACME")
    ahead = expected.transfer.transfer_id
    assert is_foreign(await refusal(sender.do("CancelTransfer", transfer_id=ahead)))
    await receiver.do("ReceiveTransfer", transfer_id=ahead)


async def test_what_is_promised_is_handed_out_where_it_lies(signed_in: As, store: MemoryStore) -> None:
    shop = signed_in("order_service", sub="shop")
    here, there = (signed_in("clerk", sub=place, locations=[place]) for place in ("WH", "ST"))
    await here.do("AddStock")
    order = (await shop.do("PlaceOrder")).order.order_id
    hold = (await shop.do("ReserveStock")).reservation.reservation_id
    before = dict(store.levels)
    assert is_foreign(await refusal(there.do("FulfillOrder", order_id=order)), "WH")
    assert is_foreign(await refusal(there.do("ConfirmReservation", reservation_id=hold)), "WH")
    assert store.levels == before
    await here.do("FulfillOrder", order_id=order)
    await here.do("ConfirmReservation", reservation_id=hold)
    back: Fields = {**LINE, "quantity": 1, "disposition": "RETURN_DISPOSITION_RESTOCK"}
    assert is_foreign(await refusal(here.do("ReturnOrder", order_id=order, lines=[{**back, **ELSEWHERE}])))
    await there.do("ReturnOrder", order_id=order, lines=[{**back, **ELSEWHERE}])
    assert store.levels[LevelKey("MUG", "ST")].on_hand == 1


async def test_who_is_more_than_a_clerk_is_bound_to_nothing(signed_in: As) -> None:
    await signed_in("administrator").do("AddStock", **ELSEWHERE)
    both = signed_in("clerk", "planner", locations=["WH"])
    await signed_in("administrator").do("AddStock")
    await both.do("MoveStock", quantity=1)
    # Planners may move, but add no stock: there, it is a clerk again.
    assert is_foreign(await refusal(both.do("AddStock", **ELSEWHERE)))


@pytest.mark.parametrize("rpc", ["BatchStock", "StreamStock"])
async def test_a_member_is_held_to_the_rules_of_its_own_method(
    signed_in: As, store: MemoryStore, rpc: str
) -> None:
    commands: list[Fields] = [
        {"add": ADD},
        {"add": {**ADD, **ELSEWHERE}},
        {"adjust": COUNT},
        {"set_policy": {**KEY, "safety_stock": 2}},
        {"remove": {**REMOVE, "quantity": 1, "reason": "MOVEMENT_REASON_THEFT"}},
        {"remove": {**REMOVE, "quantity": 1}},
    ]
    clerk = signed_in("clerk", locations=["WH"], stepped_up=False)
    results = (await clerk.do(rpc, commands=commands)).results
    reasons = [Refused(one.error).reason if one.HasField("error") else "" for one in results]
    assert reasons == [
        "",
        "LOCATION_NOT_ALLOWED",
        "STEP_UP_REQUIRED",
        "PERMISSION_DENIED",
        "STEP_UP_REQUIRED",
        "",
    ]
    assert store.levels[LevelKey("MUG", "WH")].on_hand == 4
    assert LevelKey("MUG", "ST") not in store.levels


async def test_an_atomic_batch_fails_with_a_member_that_its_caller_may_not_ask(
    signed_in: As, store: MemoryStore
) -> None:
    clerk = signed_in("clerk", locations=["WH"])
    commands: list[Fields] = [{"add": ADD}, {"set_policy": {**KEY, "safety_stock": 2}}]
    refused = await refusal(clerk.do("BatchStock", commands=commands, atomic=True))
    assert (refused.code, refused.reason) == (7, "PERMISSION_DENIED")
    assert refused.metadata["command_index"] == "1"
    assert store.transactions == 0


async def test_an_answer_is_kept_for_the_caller_that_got_it(signed_in: As) -> None:
    first, second = (signed_in("administrator", sub=name) for name in ("alice", "bob"))
    answer = await first.do("AddStock", request_id="r-1")
    assert await first.do("AddStock", request_id="r-1") == answer
    assert (await refusal(second.do("AddStock", request_id="r-1"))).reason == "REQUEST_ID_REUSED"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    roles=st.sets(st.sampled_from([role for role in Role.values() if role])),
    own=st.sets(st.sampled_from(["WH", "ST"])),
    place=st.sampled_from(["WH", "ST"]),
    stepped_up=st.booleans(),
    rpc=st.sampled_from(["AddStock", "AdjustStock", "SetStockPolicy", "RemoveStock"]),
    reason=st.sampled_from(["SALE", "LOSS"]),
)
async def test_whoever_is_let_in_has_role_place_and_proof(  # noqa: PLR0913 - each is drawn
    signed_in: As,
    *,
    roles: set[Role.ValueType],
    own: set[str],
    place: str,
    stepped_up: bool,
    rpc: str,
    reason: str,
) -> None:
    caller = signed_in(*map(role_name, roles), locations=sorted(own), stepped_up=stepped_up)
    access = ACCESS[f"/inventory.command.v1.StockCommandService/{rpc}"]
    letting_in = roles & access.roles
    sensitive = access.step_up or (rpc == "RemoveStock" and reason == "LOSS")
    if not letting_in:
        expected = "PERMISSION_DENIED"
    elif sensitive and not stepped_up:
        expected = "STEP_UP_REQUIRED"
    elif letting_in == {Role.ROLE_CLERK} and place not in own:
        expected = "LOCATION_NOT_ALLOWED"
    else:
        expected = "INSUFFICIENT_STOCK" if rpc == "RemoveStock" else ""
    fields: Fields = {"location_id": place}
    if rpc == "RemoveStock":
        fields |= {"reason": f"MOVEMENT_REASON_{reason}", "quantity": 10**12}
    if expected:
        assert (await refusal(caller.do(rpc, **fields))).reason == expected
    else:
        assert await caller.do(rpc, **fields)
