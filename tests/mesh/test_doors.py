"""Who gets in: by mutual TLS, by token, by role; and who does not."""

from __future__ import annotations

import time
from collections.abc import Iterator

import grpc
import pytest
from joserfc.jwk import ECKey

from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.type.v1.access_pb2 import Role
from serving.access import ACCESS, role_name, role_named
from tests.mesh.calls import Inside, Outcome, call
from tests.mesh.pods import Pod, probed
from tests.mesh.world import ADD_STOCK, GET_LEVEL, OURS, PORT, World

ROLES = [role_name(role) for role in Role.values() if role != Role.ROLE_UNSPECIFIED]
CREATE_ITEM = "/inventory.command.v1.ItemCommandService/CreateItem"
RESERVE = "/inventory.command.v1.ReservationCommandService/ReserveStock"
MISSING = Outcome(
    "UNAUTHENTICATED", "the call brings no token, and no certificate that is known", "UNAUTHENTICATED"
)
WATCH = "/inventory.query.v1.StockQueryService/WatchStock"


def _caller(world: World, account: str) -> Pod:
    template = {
        "metadata": {"labels": {"app.kubernetes.io/name": account}},
        "spec": {
            "serviceAccountName": account,
            "containers": [{"name": "caller", "image": "caller:1"}],
        },
    }
    return world.pods.start(account, OURS, template)


@pytest.fixture(scope="module")
def order_service(world: World) -> Iterator[Inside]:
    """Give a way to call as the order service, from a pod of its own, to the command service."""
    with Inside(_caller(world, "order-service").network, f"command.inventory.svc:{PORT}") as inside:
        yield inside


@pytest.fixture(scope="module")
def stranger(world: World) -> Iterator[Inside]:
    """Give a way to call as a workload that nobody knows."""
    with Inside(_caller(world, "stranger").network, f"command.inventory.svc:{PORT}") as inside:
        yield inside


@pytest.mark.parametrize("role", ROLES)
def test_each_role_calls_exactly_its_own_methods(world: World, role: str) -> None:
    # It has stepped up: what asks for that, is asked.
    token = world.token(roles=[role], auth_time=int(time.time()), amr=["mfa"])
    before, refused = world.denied, 0
    for method, access in ACCESS.items():
        outcome = world.call(method, token)
        if role_named(role) not in access.roles:
            refused += 1
            assert outcome.status == outcome.reason == "PERMISSION_DENIED", (method, outcome)
            continue
        # Let in, it is the service that has answered, to a request of nothing; the pipeline's pod has none.
        expected = (
            {"UNAVAILABLE"}
            if method.startswith("/inventory.admin.v1.PipelineService/")
            else {"OK", "INVALID_ARGUMENT"}
        )
        if method == "/grpc.health.v1.Health/List":
            # The service itself says that it has no such method.
            expected = {"UNIMPLEMENTED"}
        if method.endswith("/StreamStock") or method == WATCH:
            expected |= {"DEADLINE_EXCEEDED"}
        assert outcome.status in expected, (method, outcome)
    # Each by a proxy: the service has not been asked.
    assert world.denied - before == refused


def test_a_command_comes_through_and_what_it_made_is_found(world: World) -> None:
    request = CreateItemRequest(sku="MESH-1", name="Through the mesh").SerializeToString()
    assert world.call(CREATE_ITEM, world.token(roles=["planner"]), request) == Outcome("OK", "")
    again = world.call(CREATE_ITEM, world.token(roles=["planner"]), request)
    assert again.status == "ALREADY_EXISTS"


def test_who_brings_no_token_is_refused_at_the_gateway(world: World) -> None:
    before = world.query.counters.get("http.inbound_0.0.0.0_50051;.downstream_rq_total", 0)
    assert world.call(GET_LEVEL) == MISSING
    assert world.query.counters.get("http.inbound_0.0.0.0_50051;.downstream_rq_total", 0) == before


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 3600},
        {"aud": "somebody-else"},
        {"iss": "https://id.example.com/realms/other"},
        {"nbf": int(time.time()) + 3600},
    ],
    ids=["expired", "for others", "of another issuer", "not yet"],
)
def test_a_token_that_is_no_good_is_refused(world: World, claims: dict[str, object]) -> None:
    before = world.denied
    outcome = world.call(GET_LEVEL, world.token(roles=["administrator"], **claims))
    assert outcome.status == outcome.reason == "UNAUTHENTICATED"
    assert outcome.message.startswith("the token is refused: ")
    # As soon as it is looked at, before anybody asks what is in it.
    assert world.denied == before


def test_a_forged_token_is_refused(world: World) -> None:
    forger = ECKey.generate_key("P-256", {"kid": str(world.issuer.elliptic.kid), "use": "sig"})
    forged = world.issuer.token(forger, iss=world.token_issuer, roles=["administrator"])
    assert world.call(GET_LEVEL, forged) == Outcome(
        "UNAUTHENTICATED", "the token is refused: signature", "UNAUTHENTICATED"
    )
    head, _, signature = world.token(roles=["viewer"]).rpartition(".")
    other_head, _, _ = world.token(roles=["administrator"]).rpartition(".")
    assert head != other_head
    assert world.call(GET_LEVEL, f"{other_head}.{signature}").status == "UNAUTHENTICATED"


def test_a_forged_header_makes_nobody_of_anybody(world: World) -> None:
    header = f"By=spiffe://cluster.local/ns/{OURS}/sa/command;URI=spiffe://cluster.local/ns/{OURS}/sa/order-service"
    before = world.denied
    assert world.call(RESERVE, x_forwarded_client_cert=header) == MISSING
    viewer = world.token(roles=["viewer"])
    refused = world.call(RESERVE, viewer, x_forwarded_client_cert=header)
    assert refused.status == refused.reason == "PERMISSION_DENIED"
    assert world.denied == before + 2


def test_a_workload_calls_by_its_certificate_alone(world: World, order_service: Inside) -> None:
    before, refused = world.denied, 0
    for method, access in ACCESS.items():
        if not method.startswith("/inventory.command."):
            continue
        outcome = order_service.call(method)
        allowed = Role.ROLE_ORDER_SERVICE in access.roles
        refused += not allowed
        assert (outcome.reason == "PERMISSION_DENIED") is not allowed, (method, outcome)
        # The service knows it, too: by the certificate that the sidecar has seen.
        assert outcome.status != "UNAUTHENTICATED", (method, outcome)
    assert world.denied - before == refused


def test_a_workload_that_nobody_knows_is_refused(world: World, stranger: Inside) -> None:
    before = world.denied
    assert stranger.call(RESERVE) == MISSING
    header = f"URI=spiffe://cluster.local/ns/{OURS}/sa/order-service"
    # It does not leave its own pod.
    assert stranger.call(RESERVE, metadata=[("x-forwarded-client-cert", header)]) == MISSING
    assert world.denied == before + 2


def test_a_token_opens_from_within_too(world: World, stranger: Inside) -> None:
    metadata = [("authorization", f"Bearer {world.token(roles=['administrator'])}")]
    assert stranger.call(ADD_STOCK, metadata=metadata).status == "INVALID_ARGUMENT"


def test_without_mutual_tls_nobody_gets_in(world: World) -> None:
    metadata = [("authorization", f"Bearer {world.token(roles=['administrator'])}")]
    for pod in (world.command, world.query):
        address = f"{pod.address}:{PORT}"
        with grpc.insecure_channel(address) as channel:
            assert call(channel, ADD_STOCK, metadata=metadata).status == "UNAVAILABLE"
        # Nor with TLS and no certificate.
        credentials = grpc.ssl_channel_credentials(world.control.root_certificate(OURS).encode())
        with grpc.secure_channel(address, credentials) as channel:
            assert call(channel, ADD_STOCK, metadata=metadata).status == "UNAVAILABLE"


def test_probes_reach_a_service_that_listens_on_the_loopback(world: World) -> None:
    assert probed(world.command, "command")
    assert probed(world.query, "query")
    # There is no program in it.
    assert not probed(world.pipeline, "pipeline")
