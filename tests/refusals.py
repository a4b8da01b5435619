"""What a refusal tells callers of JSON and of gRPC-Web."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import httpx
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2


def reason(answer: httpx.Response) -> str:
    """Return the reason of the ErrorInfo in a body, which must be a google.rpc.Status in JSON."""
    assert answer.headers["content-type"] == "application/json", answer.text
    return body_reason(answer.content)


def body_reason(body: bytes) -> str:
    """Return the reason of the ErrorInfo in a google.rpc.Status in JSON."""
    return _reason(json_format.Parse(body, status_pb2.Status()))


def web_reason(headers: Mapping[str, str]) -> str:
    """Return the reason of the ErrorInfo in the headers, or trailers, of gRPC-Web."""
    details = headers["grpc-status-details-bin"]
    return _reason(status_pb2.Status.FromString(base64.b64decode(details + "=" * (-len(details) % 4))))


def _reason(status: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    assert status.details, status
    assert status.details[0].Unpack(info), status
    assert info.domain == "inventory"
    return str(info.reason)
