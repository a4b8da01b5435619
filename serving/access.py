"""Who may call what: the table of roles, as it stands in the options of the contracts' methods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from inventory.type.v1 import access_pb2
from inventory.type.v1.access_pb2 import Role
from inventory.type.v1.stock_pb2 import MovementReason
from serving.contracts import METHODS

__all__ = ["ACCESS", "METHOD_OF", "PROBED", "Access", "role_name", "role_named"]

_PREFIX = "ROLE_"


class Access(NamedTuple):
    """Who may call one method, as inventory.type.v1.Access says.

    `reason_paths` are the paths of the request's fields that hold a reason.
    """

    roles: frozenset[Role.ValueType]
    step_up: bool = False
    location_scoped: bool = False
    step_up_reasons: frozenset[MovementReason.ValueType] = frozenset()
    reason_paths: tuple[tuple[str, ...], ...] = ()

    def needs_step_up(self, request: Message) -> bool:
        """Tell whether a request, one of the method's, may only be made by a caller that has stepped up."""
        return self.step_up or any(
            reason in self.step_up_reasons for path in self.reason_paths for reason in _values(request, path)
        )


def role_name(role: Role.ValueType) -> str:
    """Return a role as claims and settings name it."""
    return Role.Name(role).removeprefix(_PREFIX).lower()


def role_named(name: str) -> Role.ValueType | None:
    """Return the role that claims and settings name so; None if there is none."""
    return _ROLES.get(name)


_ROLES: Mapping[str, Role.ValueType] = {
    role_name(role): role for role in Role.values() if role != Role.ROLE_UNSPECIFIED
}


def _values(message: Any, path: tuple[str, ...]) -> Iterator[int]:  # noqa: ANN401 - a message, or what it holds
    """Yield what stands in a message at a path, each element of a repeated field by itself."""
    if not path:
        yield message
        return
    value = getattr(message, path[0])
    for element in value if isinstance(value, Iterable) else (value,):
        yield from _values(element, path[1:])


def _reason_paths(message: Descriptor | None) -> Iterator[tuple[str, ...]]:
    for field in message.fields if message else ():
        if field.enum_type is not None and field.enum_type.full_name == MovementReason.DESCRIPTOR.full_name:
            yield (field.name,)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            yield from ((field.name, *path) for path in _reason_paths(field.message_type))


def _of_contracts() -> Iterator[tuple[str, Access]]:
    for path, method in METHODS.items():
        given = method.GetOptions().Extensions[access_pb2.access]
        reasons = frozenset(given.step_up_reasons)
        yield (
            path,
            Access(
                frozenset(given.roles),
                given.step_up,
                given.location_scoped,
                reasons,
                tuple(_reason_paths(method.input_type)) if reasons else (),
            ),
        )


_OPERATORS = Access(frozenset({Role.ROLE_OPERATOR}))
# What is no contract of ours.
_OTHERS: Mapping[str, Access] = {
    "/grpc.health.v1.Health/Check": _OPERATORS,
    "/grpc.health.v1.Health/List": _OPERATORS,
    "/grpc.health.v1.Health/Watch": _OPERATORS,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": _OPERATORS,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _OPERATORS,
}

PROBED = "/grpc.health.v1.Health/"
"""How the methods begin that a service itself answers to everybody who reaches it, for probes and proxies
bring no identity. The door and the mesh hold those to the table that come from outside."""

ACCESS: Mapping[str, Access] = MappingProxyType(dict(_of_contracts()) | dict(_OTHERS))
"""The table: by the full path of the method, as in "/inventory.query.v1.StockQueryService/ListLots"."""

METHOD_OF: Mapping[str, str] = MappingProxyType(
    {method.input_type.full_name: path for path, method in METHODS.items()}
)
"""The method of a request message, by the message's full name: it rules the message in a batch, too."""
