"""The JSON way in as an OpenAPI 3 document, made of the contracts: addresses, messages, roles, errors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from inventory.type.v1.error_reason_pb2 import ErrorReason
from serving.access import ACCESS, role_name
from serving.contracts import METHODS, ROUTES, SERVICES, Route

ROOT = Path(__file__).resolve().parent.parent
TEXT = {"type": "string"}
# The JSON of what is not written field by field.
WELL_KNOWN: dict[str, dict[str, Any]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "example": "900s"},
    "google.protobuf.FieldMask": {"type": "string", "example": "name,tags"},
    "google.protobuf.Any": {"type": "object", "properties": {"@type": TEXT}, "additionalProperties": True},
}
SCALARS: dict[int, dict[str, Any]] = {
    FieldDescriptor.CPPTYPE_STRING: TEXT,
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "format": "int64"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "string", "format": "uint64"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
}
STATUS = "google.rpc.Status"
DESCRIPTION = """Inventory by JSON over HTTP; docs/ways-in.md says how, and what gRPC can do beyond it.

Every refusal is a google.rpc.Status whose details hold a google.rpc.ErrorInfo: domain "inventory", a reason \
of inventory.type.v1.ErrorReason without its prefix, the figures as metadata."""


def document() -> str:
    """Return docs/openapi.json."""
    return json.dumps(_Document().made(), indent=1, ensure_ascii=False) + "\n"


class _Document:
    def __init__(self) -> None:
        self._comments = _comments()
        self._schemas: dict[str, dict[str, Any]] = {}

    def made(self) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {}
        for route in ROUTES:
            paths.setdefault(route.address, {})[route.verb] = self._operation(route)
        self._enum(ErrorReason.DESCRIPTOR)
        self._schemas[STATUS] = {
            "type": "object",
            "properties": {
                "code": {"type": "integer", "format": "int32"},
                "message": TEXT,
                "details": {"type": "array", "items": WELL_KNOWN["google.protobuf.Any"]},
            },
        }
        tags = [
            {"name": service.name, "description": self._comments.get(service.full_name, "")}
            for service in SERVICES
        ]
        return {
            "openapi": "3.0.3",
            "info": {"title": "Inventory", "version": "v1", "description": DESCRIPTION},
            "servers": [{"url": "https://127.0.0.1:7400", "description": "The local stack"}],
            "security": [{"token": []}],
            "tags": tags,
            "paths": dict(sorted(paths.items())),
            "components": {
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
                "responses": {
                    "Refused": {
                        "description": "Refused: the reason stands in the details. Nothing has changed.",
                        "headers": {
                            "Retry-After": {
                                "description": "Where the edge has refused for want of room or of a service: "
                                "the seconds after which to come again.",
                                "schema": {"type": "integer"},
                            }
                        },
                        "content": {"application/json": {"schema": _reference(STATUS)}},
                    }
                },
                "schemas": dict(sorted(self._schemas.items())),
            },
        }

    def _operation(self, route: Route) -> dict[str, Any]:
        method, access = METHODS[route.method], ACCESS[route.method]
        roles = [role_name(role) for role in sorted(access.roles)]
        told = f"Roles: {', '.join(roles)}." + (" Asks for a step-up." if access.step_up else "")
        in_path = re.findall(r"\{([^}]*)\}", route.address)
        parameters = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": TEXT,
                **self._told(method.input_type, name),
            }
            for name in in_path
        ]
        made: dict[str, Any] = {
            "operationId": f"{method.containing_service.name}_{method.name}",
            "tags": [method.containing_service.name],
            "description": f"{self._comments.get(method.full_name, '')}\n\n{told}".strip(),
            "x-roles": roles,
        }
        if route.verb == "get":
            parameters += self._query(method.input_type, in_path)
        else:
            schema = self._message(method.input_type)
            made["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        if parameters:
            made["parameters"] = parameters
        said = "One object a line, as they come." if method.server_streaming else "Done."
        content = {"application/json": {"schema": self._message(method.output_type)}}
        made["responses"] = {
            "200": {"description": said, "content": content},
            "default": {"$ref": "#/components/responses/Refused"},
        }
        return made

    def _query(self, message: Descriptor, without: list[str], prefix: str = "") -> Iterator[dict[str, Any]]:
        """Yield the parameters of a request's fields, those of messages within with a dot."""
        for field in message.fields:
            inner = field.message_type
            if field.name in without:
                continue
            if inner is not None and inner.full_name not in WELL_KNOWN:
                yield from self._query(inner, [], f"{prefix}{field.name}.")
            else:
                schema = self._field(field)
                yield {
                    "name": prefix + field.name,
                    "in": "query",
                    "schema": schema,
                    **self._told(message, field.name),
                }

    def _told(self, message: Descriptor, name: str) -> dict[str, str]:
        comment = self._comments.get(f"{message.full_name}.{name}")
        return {"description": comment} if comment else {}

    def _message(self, message: Descriptor) -> dict[str, Any]:
        if message.full_name in WELL_KNOWN:
            return WELL_KNOWN[message.full_name]
        if message.full_name not in self._schemas:
            made = self._schemas[message.full_name] = {"type": "object"}
            comment = self._comments.get(message.full_name)
            if comment:
                made["description"] = comment
            made["properties"] = {
                field.camelcase_name: _with(self._field(field), self._told(message, field.name))
                for field in message.fields
            }
        return _reference(message.full_name)

    def _field(self, field: FieldDescriptor) -> dict[str, Any]:
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            return {"type": "object", "additionalProperties": self._field(inner.fields_by_name["value"])}
        if inner is not None:
            one = self._message(inner)
        elif field.enum_type is not None:
            one = self._enum(field.enum_type)
        else:
            one = SCALARS[field.cpp_type]
        return {"type": "array", "items": one} if field.is_repeated else one

    def _enum(self, enum: EnumDescriptor) -> dict[str, Any]:
        told = [self._comments.get(enum.full_name, "")]
        for value in enum.values:
            # A value stands beside its enum, not in it.
            scope = enum.full_name.rpartition(".")[0]
            comment = self._comments.get(f"{enum.full_name}.{value.name}") or self._comments.get(
                f"{scope}.{value.name}"
            )
            told += [f"- {value.name}: {comment}"] if comment else []
        names = [value.name for value in enum.values]
        description = "\n".join(filter(None, told))
        self._schemas[enum.full_name] = _with({"type": "string", "enum": names}, {"description": description})
        return _reference(enum.full_name)


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _with(schema: dict[str, Any], told: dict[str, str]) -> dict[str, Any]:
    """Return a schema with a description; beside a reference there may be none."""
    if not told.get("description"):
        return schema
    return {"allOf": [schema], **told} if "$ref" in schema else schema | told


def _comments() -> dict[str, str]:
    """Return what the contracts say before each of their elements, by its full name."""
    found: dict[str, str] = {}
    for file in _sources().file:
        for location in file.source_code_info.location:
            name, at, element = file.package, list(location.path), file
            while at:
                number, index, *at = at if len(at) % 2 == 0 else [0, 0]
                part = element.DESCRIPTOR.fields_by_number.get(number)
                if part is None or not part.is_repeated or part.message_type is None:
                    break
                element = getattr(element, part.name)[index]
                if not hasattr(element, "name"):
                    break
                name = f"{name}.{element.name}"
            else:
                if location.leading_comments and location.path:
                    found[name] = "\n".join(
                        line.strip() for line in location.leading_comments.strip().splitlines()
                    )
    return found


def _sources() -> FileDescriptorSet:
    """Compile the contracts with their comments; raises CalledProcessError."""
    protos = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "proto").rglob("*.proto"))
    with tempfile.NamedTemporaryFile() as target:
        command = [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            "-Iproto",
            "-Ithird_party",
            "--include_source_info",
        ]
        subprocess.run([*command, f"--descriptor_set_out={target.name}", *protos], cwd=ROOT, check=True)  # noqa: S603
        return FileDescriptorSet.FromString(Path(target.name).read_bytes())
