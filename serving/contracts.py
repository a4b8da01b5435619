"""The services of the public contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from google.protobuf.descriptor import ServiceDescriptor

__all__ = ["SERVICES"]

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
