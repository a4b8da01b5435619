"""Server reflection, so that grpcurl and buf curl know the contracts."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from serving.contracts import SERVICES

__all__ = ["PUBLIC_SERVICES", "add_reflection_to_server"]

# One address fronts all services and sends a reflection call to any of them: so each server describes
# the whole public contract, not only the part that it serves itself.
PUBLIC_SERVICES: tuple[str, ...] = (
    *(service.full_name for service in SERVICES),
    *(service.full_name for service in health_pb2.DESCRIPTOR.services_by_name.values()),
)


def add_reflection_to_server(server: grpc.aio.Server) -> None:
    """Serve reflection of `PUBLIC_SERVICES` as grpc.reflection.v1 and as grpc.reflection.v1alpha."""
    handlers = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
            reflection.aio.ReflectionServicer(PUBLIC_SERVICES).ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
    }
    # The library knows v1alpha alone; v1 has the same messages under another service name.
    for version in ("v1", "v1alpha"):
        name = f"grpc.reflection.{version}.ServerReflection"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
