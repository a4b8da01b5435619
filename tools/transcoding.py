"""How the doors turn JSON over HTTP into calls: one filter configuration, with the contracts in it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.rpc import error_details_pb2, status_pb2

from serving.contracts import SERVICES

FILTER = "type.googleapis.com/envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"
# Rules and roles are the services' and other filters' business; routes alone are this one's.
LEFT_OUT = ("buf/validate/validate.proto", "google/api/annotations.proto", "inventory/type/v1/access.proto")
MAX_REQUEST_BYTES = 1024 * 1024
# As much as a message of a service may have.
MAX_RESPONSE_BYTES = 4 * 1024 * 1024


def transcoder() -> dict[str, Any]:
    """Return the typed configuration of Envoy's transcoder for every method that has a route."""
    return {
        "@type": FILTER,
        "proto_descriptor_bin": base64.b64encode(
            descriptors().SerializeToString(deterministic=True)
        ).decode(),
        "services": sorted(service.full_name for service in SERVICES),
        "convert_grpc_status": True,
        "url_unescape_spec": "ALL_CHARACTERS",
        "query_param_unescape_plus": True,
        "print_options": {"stream_newline_delimited": True},
        "max_request_body_size": MAX_REQUEST_BYTES,
        "max_response_body_size": MAX_RESPONSE_BYTES,
        "request_validation_options": {
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
    }


def transcoder_filter() -> str:
    """Return envoy/generated/transcoder.json."""
    return json.dumps(transcoder(), indent=1) + "\n"


def descriptors() -> FileDescriptorSet:
    """Return the contracts of all services and of error details, each file after those it imports."""
    files: dict[str, FileDescriptor] = {}
    for root in [
        *(service.file for service in SERVICES),
        status_pb2.DESCRIPTOR,
        error_details_pb2.DESCRIPTOR,
    ]:
        files |= {file.name: file for file in _with_imports(root)}
    return FileDescriptorSet(file=map(_bare, files.values()))


def _with_imports(file: FileDescriptor) -> Iterator[FileDescriptor]:
    for imported in file.dependencies:
        if imported.name not in LEFT_OUT:
            yield from _with_imports(imported)
    yield file


def _bare(file: FileDescriptor) -> FileDescriptorProto:
    """Return a file without options, but for the routes of its methods."""
    proto = FileDescriptorProto()
    file.CopyToProto(proto)
    imports = [name for name in proto.dependency if name not in LEFT_OUT]
    del proto.dependency[:], proto.public_dependency[:], proto.weak_dependency[:]
    proto.dependency.extend(imports)
    proto.ClearField("options")
    _strip(proto.message_type)
    for enum in proto.enum_type:
        enum.ClearField("options")
        for value in enum.value:
            value.ClearField("options")
    for service in proto.service:
        for method in service.method:
            route = (
                annotations_pb2.http in method.options.Extensions
                and method.options.Extensions[annotations_pb2.http]
            )
            method.ClearField("options")
            if route:
                method.options.Extensions[annotations_pb2.http].CopyFrom(route)
    return proto


def _strip(messages: Iterable[DescriptorProto]) -> None:
    for message in messages:
        entry = message.options.map_entry
        message.ClearField("options")
        if entry:
            message.options.map_entry = True
        for part in (*message.field, *message.oneof_decl):
            part.ClearField("options")
        _strip(message.nested_type)
