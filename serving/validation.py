"""The rules written in the contracts, checked on a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import protovalidate
from google.protobuf.message_factory import GetMessageClass

from inventory.type.v1 import error_reason_pb2
from serving.errors import CallError, FieldViolation

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor
    from google.protobuf.message import Message

__all__ = ["check", "warm"]

_validator = protovalidate.Validator()


def check(message: Message) -> None:
    """Raise CallError INVALID_FIELD unless `message` keeps every rule of its contract.

    The error names every violation by the field's path, with indexes and map keys, as in
    `commands[3].quantity` or `metadata["colour"]`; a rule over the whole message has the empty path.
    """
    violations = _validator.collect_violations(message)
    if violations:
        raise _refusal([FieldViolation(_path(v), v.proto.message) for v in violations])


def warm(service: ServiceDescriptor) -> None:
    """Compile the rules of a service's requests, some milliseconds each, so that no caller waits for it."""
    for method in service.methods:
        _validator.collect_violations(GetMessageClass(method.input_type)())


def _refusal(violations: list[FieldViolation]) -> CallError:
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    named = f"{first.field}: {first.description}" if first.field else first.description
    return CallError(
        error_reason_pb2.ERROR_REASON_INVALID_FIELD,
        named + more,
        metadata={"field": first.field},
        violations=violations,
    )


def _path(violation: protovalidate.Violation) -> str:
    field = violation.proto.field
    return ".".join(_element(element) for element in field.elements) if field else ""


def _element(element: protovalidate.FieldPathElementPb) -> str:
    subscript = element.subscript
    if subscript is None:
        return element.field_name
    if subscript.field == "index":
        return f"{element.field_name}[{subscript.value}]"
    quoted = f'"{subscript.value}"' if subscript.field == "string_key" else str(subscript.value).lower()
    return f"{element.field_name}[{quoted}]"
