"""An entry of the audit log, of what a proxy says of a call that it has refused. Pure.

Proxies send one LogRecord of OpenTelemetry for each call that they have answered by themselves, with the
attributes named here, all of them text, "-" where there is none.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from audit.receiver.addresses import method_at
from inventory.type.v1 import error_reason_pb2
from serving.access import ACCESS
from serving.audit import MOST_CHARACTERS, Entry
from serving.origin import FORWARDED_KEY, REQUEST_KEY, TRACE_KEY, origin_of
from serving.workloads import identities

__all__ = ["ATTRIBUTES", "refusal_in"]

ATTRIBUTES = frozenset(
    {
        "address",  # of the caller, without the port
        "details",  # why the proxy has answered
        "forwarded",  # of a sidecar: whom the proxy before it has seen
        "grpc_status",  # a number
        "http_status",
        "identity",  # that the caller has proved by its certificate
        "path",
        "request_id",
        "status_details",  # a google.rpc.Status, as the caller gets it
        "subject",  # of the caller's token, if that is good
        "traceparent",
        "verb",  # of HTTP
    }
)
"""What is asked of the proxies."""

OLDEST = timedelta(days=1)
GONE = "downstream_remote_disconnect"
"""The caller has gone away: nobody has refused it."""
MALFORMED = "http2."
"""What is no call, but frames or headers that cannot be one."""
MOST_DIGITS = 9
DOMAIN = "inventory"
_REASONS = frozenset(name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys())  # noqa: SIM118 - no mapping
_CODES: Mapping[int, str] = {code.value[0]: code.name for code in StatusCode}
# What is no answer of gRPC's: of calls over HTTP.
_OF_HTTP: Mapping[int, StatusCode] = {
    HTTPStatus.BAD_REQUEST: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNAUTHORIZED: StatusCode.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: StatusCode.PERMISSION_DENIED,
    HTTPStatus.NOT_FOUND: StatusCode.UNIMPLEMENTED,
    HTTPStatus.TOO_MANY_REQUESTS: StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.BAD_GATEWAY: StatusCode.UNAVAILABLE,
    HTTPStatus.SERVICE_UNAVAILABLE: StatusCode.UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT: StatusCode.UNAVAILABLE,
}


def refusal_in(record: LogRecord, now: datetime) -> Entry | None:
    """Return the entry for a call, None if it has not been refused.

    A path that is no method of ours, and no address of one, is not told: it may hold anything. Of the caller,
    only what it has proved to the proxy is believed.
    """
    told = {one.key: one.value.string_value for one in record.attributes}
    told = {name: value for name, value in told.items() if value not in {"", "-"}}
    verdict = _verdict(told)
    if verdict is None:
        return None
    path = told.get("path", "").partition("?")[0]
    subject, identity = told.get("subject", ""), _identity(told)
    headers = {
        FORWARDED_KEY: told.get("address", ""),
        TRACE_KEY: told.get("traceparent", ""),
        REQUEST_KEY: told.get("request_id", ""),
    }
    source, trace_id = origin_of(headers.items(), "")
    return Entry(
        _time(record, now),
        (path if path in ACCESS else method_at(told.get("verb", ""), path))[1:],
        verdict,
        (subject or identity)[:MOST_CHARACTERS],
        "token" if subject else "certificate" if identity else "none",
        source,
        trace_id=trace_id,
    )


def _verdict(told: Mapping[str, str]) -> str | None:
    """Return the reason that the caller was given, or else the name of the status; None if it was neither."""
    reason = _reason(told.get("status_details", ""))
    if reason:
        return reason
    http = told.get("http_status", "")
    status = _number(told.get("grpc_status", ""))
    if status is not None:
        name = _CODES.get(status, StatusCode.UNKNOWN.name)
        return None if name == StatusCode.OK.name else name
    details = told.get("details", "")
    if details.startswith(GONE) or http.startswith("2"):
        return None
    if details.startswith(MALFORMED):
        return StatusCode.INVALID_ARGUMENT.name
    return _OF_HTTP.get(_number(http) or 0, StatusCode.UNKNOWN).name


def _number(text: str) -> int | None:
    """Return the number that a text is; None for what no status can be."""
    return int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else None


def _reason(details: str) -> str:
    """Return the reason in a header's grpc-status-details-bin; "" if it holds none of ours."""
    try:
        status = status_pb2.Status.FromString(b64decode(details + "=" * (-len(details) % 4), validate=True))
        info = error_details_pb2.ErrorInfo()
        for detail in status.details:
            if detail.Unpack(info) and info.domain == DOMAIN:
                return info.reason if info.reason in _REASONS else ""
    except (ValueError, DecodeError):
        return ""
    return ""


def _identity(told: Mapping[str, str]) -> str:
    if "identity" in told:
        return told["identity"]
    return next(iter(identities(told.get("forwarded", ""))), "")


def _time(record: LogRecord, now: datetime) -> datetime:
    """Return when the call began; now, for a clock that is far off: nothing comes into days that are over."""
    began = datetime.fromtimestamp(record.time_unix_nano / 1e9, UTC)
    return began if now - OLDEST < began < now else now
