"""Where events go: the topic of each envelope, and its framing."""

from collections.abc import Mapping
from types import MappingProxyType

from google.protobuf.descriptor import FileDescriptor

from cdc.events import Event
from cdc.faults import Fault, FaultKind
from cdc.publisher import Outgoing
from cdc.schemas import SchemaRegistry, frame
from inventory.event.v1 import order_event_pb2, reservation_event_pb2, stock_event_pb2, transfer_event_pb2

FILES: Mapping[str, FileDescriptor] = MappingProxyType(
    {
        "stock": stock_event_pb2.DESCRIPTOR,
        "reservation": reservation_event_pb2.DESCRIPTOR,
        "order": order_event_pb2.DESCRIPTOR,
        "transfer": transfer_event_pb2.DESCRIPTOR,
    }
)
"""The contract of each topic PREFIX.NAME.events; its envelope is its first message."""


class OversizedError(Fault):
    """An event is larger than its topic takes."""


class Outlets:
    """Makes the records of events: `frames` holds what a record of each topic PREFIX.NAME.events begins with.

    Raises OversizedError for an event of more than `max_bytes`.
    """

    def __init__(self, prefix: str, frames: Mapping[str, bytes], max_bytes: int) -> None:
        self._outlets = {
            FILES[name].message_types_by_name[_envelope(FILES[name])].full_name: (_topic(prefix, name), frame)
            for name, frame in frames.items()
        }
        self._max_bytes = max_bytes

    def record(self, event: Event) -> Outgoing:
        """Return the record of an event."""
        topic, begin = self._outlets[event.message.DESCRIPTOR.full_name]
        value = begin + event.message.SerializeToString()
        if len(value) > self._max_bytes:
            raise OversizedError(
                f"a {event.type} of {len(value)} bytes, more than {self._max_bytes}", FaultKind.OVERSIZED
            )
        headers = [("event_id", event.message.event_id.encode()), ("event_type", event.type.encode())]
        return Outgoing(topic, event.key.encode(), value, headers)


def register(registry_url: str, prefix: str) -> dict[str, bytes]:
    """Register the contracts; return what a record of each begins with.

    Raises IncompatibleSchemaError and RegistryUnavailableError.
    """
    with SchemaRegistry(registry_url) as registry:
        return {
            name: frame(registry.register(f"{_topic(prefix, name)}-value", file))
            for name, file in FILES.items()
        }


def _topic(prefix: str, name: str) -> str:
    return f"{prefix}.{name}.events"


def _envelope(file: FileDescriptor) -> str:
    return next(iter(file.message_types_by_name))
