"""The services of the public contract, their methods, and the addresses of JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from google.api import annotations_pb2

from inventory.admin.v1 import audit_service_pb2, pipeline_service_pb2
from inventory.command.v1 import (
    item_command_service_pb2,
    location_command_service_pb2,
    order_command_service_pb2,
    reservation_command_service_pb2,
    stock_command_service_pb2,
    transfer_command_service_pb2,
)
from inventory.query.v1 import catalog_query_service_pb2, order_query_service_pb2, stock_query_service_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

__all__ = ["METHODS", "ROUTES", "SERVICES", "Route"]

SERVICES: tuple[ServiceDescriptor, ...] = tuple(
    service
    for contract in (
        audit_service_pb2,
        pipeline_service_pb2,
        item_command_service_pb2,
        location_command_service_pb2,
        order_command_service_pb2,
        reservation_command_service_pb2,
        stock_command_service_pb2,
        transfer_command_service_pb2,
        catalog_query_service_pb2,
        order_query_service_pb2,
        stock_query_service_pb2,
    )
    for service in contract.DESCRIPTOR.services_by_name.values()
)

METHODS: Mapping[str, MethodDescriptor] = MappingProxyType(
    {f"/{service.full_name}/{method.name}": method for service in SERVICES for method in service.methods}
)
"""By full path, as in "/inventory.query.v1.StockQueryService/ListLots"."""


class Route(NamedTuple):
    """How JSON calls a method: a verb in lower case, and an address in which names in braces stand for ids.

    `method` is its full path.
    """

    verb: str
    address: str
    method: str


def _routes() -> Iterator[Route]:
    for path, method in METHODS.items():
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        if verb := rule.WhichOneof("pattern"):
            yield Route(verb, getattr(rule, verb), path)


ROUTES: tuple[Route, ...] = tuple(_routes())
