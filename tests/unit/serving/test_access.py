"""The table of roles: every method has an entry, and the entries say what they are to say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc

from inventory.command.v1 import (
    order_command_service_pb2 as orders,
)
from inventory.command.v1 import (
    stock_command_service_pb2 as stock,
)
from inventory.command.v1 import (
    transfer_command_service_pb2 as transfers,
)
from inventory.type.v1.access_pb2 import Role
from inventory.type.v1.stock_pb2 import MovementReason
from serving.access import ACCESS, METHOD_OF, role_name, role_named
from serving.contracts import METHODS
from serving.reflection import add_reflection_to_server
from stack.home import CHECKOUT

STOCK = "/inventory.command.v1.StockCommandService"
ORDERS = "/inventory.command.v1.OrderCommandService"
TRANSFERS = "/inventory.command.v1.TransferCommandService"


def _written() -> Iterator[str]:
    """Yield the methods that stand in the contracts' files, whoever knows of them."""
    for file in (CHECKOUT / "proto" / "inventory").rglob("*.proto"):
        package = service = ""
        for kind, name in re.findall(r"^ *(package|service|rpc) ([\w.]+)", file.read_text(), re.MULTILINE):
            if kind == "package":
                package = name
            elif kind == "service":
                service = name
            else:
                yield f"/{package}.{service}/{name}"


def test_every_method_of_the_contracts_has_an_entry_with_roles() -> None:
    written = set(_written())
    assert written == METHODS.keys()
    assert written <= ACCESS.keys()
    assert [method for method in ACCESS if not ACCESS[method].roles] == []
    assert all(Role.ROLE_UNSPECIFIED not in access.roles for access in ACCESS.values())


def test_every_other_method_that_a_server_serves_has_an_entry() -> None:
    class Methods:
        """Stands where a server would, and keeps what is added."""

        names: set[str] = set()  # noqa: RUF012 - one test's

        def add_generic_rpc_handlers(self, handlers: tuple[grpc.GenericRpcHandler, ...]) -> None:
            for handler in handlers:
                self.names.update(handler._method_handlers)  # type: ignore[attr-defined]  # noqa: SLF001 - nothing else tells

        def add_registered_method_handlers(self, _service: str, _handlers: object) -> None:
            """Take no note: registered and generic are the same methods."""

    server = Methods()
    health_pb2_grpc.add_HealthServicer_to_server(health_pb2_grpc.HealthServicer(), server)  # type: ignore[arg-type]
    add_reflection_to_server(server)  # type: ignore[arg-type]
    assert server.names
    assert server.names == {method for method in ACCESS if method.startswith("/grpc.")}


def test_only_a_command_of_a_clerk_is_bound_to_locations() -> None:
    for method, access in ACCESS.items():
        clerks = Role.ROLE_CLERK in access.roles and "/inventory.command." in method
        assert access.location_scoped == clerks, method


def test_viewers_only_read_and_operators_see_no_business() -> None:
    def methods(role: Role.ValueType) -> set[str]:
        return {method.split("/")[1] for method, access in ACCESS.items() if role in access.roles}

    assert all(name.startswith("inventory.query.") for name in methods(Role.ROLE_VIEWER))
    assert all(name.startswith(("inventory.admin.", "grpc.")) for name in methods(Role.ROLE_OPERATOR))


def test_a_request_message_is_of_one_method() -> None:
    assert max(Counter(METHOD_OF.values()).values()) == 1
    assert len(METHOD_OF) == len(METHODS)
    assert METHOD_OF["inventory.command.v1.AddStockRequest"] == f"{STOCK}/AddStock"


def test_the_sensitive_methods_ask_for_a_step_up() -> None:
    assert {method.rpartition("/")[2] for method, access in ACCESS.items() if access.step_up} == {
        "AdjustStock",
        "ArchiveItem",
        "DeactivateLocation",
        "DiscardDeadLetters",
        "EraseSubject",
        "ExportSubject",
        "SetStockPolicy",
    }


@pytest.mark.parametrize("reason", MovementReason.values())
def test_what_is_written_off_asks_for_a_step_up(reason: MovementReason.ValueType) -> None:
    written_off = MovementReason.Name(reason).removeprefix("MOVEMENT_REASON_")
    sensitive = written_off in {"DAMAGE", "LOSS", "THEFT", "EXPIRED"}
    removal = stock.RemoveStockRequest(reason=reason)
    assert ACCESS[f"{STOCK}/RemoveStock"].needs_step_up(removal) == (sensitive or written_off == "CORRECTION")
    line = orders.ReturnLine(write_off_reason=reason)
    returned = orders.ReturnOrderRequest(lines=[orders.ReturnLine(), line])
    assert ACCESS[f"{ORDERS}/ReturnOrder"].needs_step_up(returned) == sensitive
    receipt = transfers.ReceiveTransferRequest(write_off_reason=reason)
    lost = written_off in {"DAMAGE", "LOSS", "THEFT", "CORRECTION"}
    assert ACCESS[f"{TRANSFERS}/ReceiveTransfer"].needs_step_up(receipt) == lost


def test_a_role_has_one_name() -> None:
    for role in Role.values():
        named = role_named(role_name(role))
        assert named == (None if role == Role.ROLE_UNSPECIFIED else role)
    assert role_named("ADMINISTRATOR") is None
