"""What the edge's Envoy enforces of the table of roles: who may call which method, and how it refuses."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from google.protobuf import json_format
from google.rpc import code_pb2, error_details_pb2, status_pb2

from inventory.type.v1 import error_reason_pb2
from inventory.type.v1.access_pb2 import Role
from serving.access import ACCESS, role_name, role_named
from serving.errors import DETAILS_KEY, DOMAIN, CallError
from serving.identity import permission_denied, unauthenticated
from stack.limits import EXTENSIONS, STACK_CLAIMS, TOKEN_FILTER
from stack.workloads import NAMESPACE, WORKLOADS


def access_filter() -> str:
    """Return envoy/generated/roles.json: the typed configuration of the filter that knows the roles."""
    methods: dict[frozenset[Role.ValueType], list[str]] = defaultdict(list)
    for path, access in sorted(ACCESS.items()):
        methods[access.roles].append(path)
    policies = {
        " or ".join(role_name(role) for role in sorted(roles)): {
            "permissions": [{"url_path": {"path": {"exact": path}}} for path in methods[roles]],
            "principals": [*map(_by_token, sorted(roles)), *_by_certificate(roles)],
        }
        for roles in sorted(methods, key=sorted)
    }
    rules = {
        "@type": f"{EXTENSIONS}.filters.http.rbac.v3.RBAC",
        "rules": {"action": "ALLOW", "policies": policies},
    }
    return json.dumps(rules, indent=1) + "\n"


def refusals() -> str:
    """Return envoy/generated/refusals.json: how each refusal of the edge is answered, details included."""
    anonymous = [
        {"header_filter": {"header": {"name": "authorization", "present_match": True, "invert_match": True}}},
        *(
            {
                "header_filter": {
                    "header": {
                        "name": "x-forwarded-client-cert",
                        "string_match": {"contains": f"/ns/{NAMESPACE}/sa/{name}"},
                        "treat_missing_header_as_empty": True,
                        "invert_match": True,
                    }
                }
            }
            for name in WORKLOADS
        ),
    ]
    missing = unauthenticated("missing", "the call brings no token, and no certificate that is known")
    # Envoy says 403 to a token for others.
    others = unauthenticated("claims", "the token is refused: claims")
    mappers = [
        _mapper([_status(403), _told("jwt_authn")], others, 401),
        _mapper([_status(403), *anonymous], missing, 401),
    ]
    for path in sorted(ACCESS):
        called = {"header_filter": {"header": {"name": ":path", "string_match": {"exact": path}}}}
        mappers.append(_mapper([_status(403), called], permission_denied(path)))
    mappers += _refused_tokens()
    every = [*mappers, *limited()]
    web = [*map(_as_json, every), *map(_as_web, every)]
    return json.dumps({"mappers": [*web, *every, *_no_call()]}, indent=1) + "\n"


def sidecar_refusals() -> str:
    """Return envoy/generated/sidecar-refusals.json: how a sidecar answers where there is no room."""
    return json.dumps({"mappers": list(crowded())}, indent=1) + "\n"


# To come again after, in seconds: buckets fill within one; room is made sooner.
RATE_RETRY = 1.0
ROOM_RETRY = 0.25


def limited() -> Iterator[dict[str, Any]]:
    """Yield what answers to callers who ask too much."""
    rate = CallError(
        error_reason_pb2.ERROR_REASON_RATE_LIMITED,
        "more calls a second than the caller, its address or the method may have",
        retry_after=RATE_RETRY,
    )
    yield _mapper([_told("local_rate_limited")], rate, exhausted=True)
    yield from crowded()


def crowded() -> Iterator[dict[str, Any]]:
    """Yield what answers when a proxy has as many calls under way as it, or its service, can carry."""
    full = CallError(
        error_reason_pb2.ERROR_REASON_QUEUE_FULL, "too many calls are in progress", retry_after=ROOM_RETRY
    )
    for sign in (_flag("UO"), _flag("OM"), _told("reached_concurrency_limit")):
        yield _mapper([sign], full, 429, exhausted=True)


def _by_token(role: Role.ValueType) -> dict[str, Any]:
    value = {"list_match": {"one_of": {"string_match": {"exact": role_name(role)}}}}
    path = [{"key": STACK_CLAIMS}, {"key": "roles"}]
    return {"metadata": {"filter": TOKEN_FILTER, "path": path, "value": value}}


def _by_certificate(roles: frozenset[Role.ValueType]) -> Iterator[dict[str, Any]]:
    for name, role in WORKLOADS.items():
        if role_named(role) in roles:
            yield {"authenticated": {"principal_name": {"suffix": f"/ns/{NAMESPACE}/sa/{name}"}}}


# What the filter says of a token that is no good, and the cause that the contract knows it by.
CAUSES = {
    "expired": "expired",
    "Jwks_doesn": "key",
    "alg": "algorithm",
    "verification_fails": "signature",
    "ssuer": "claims",
    "udience": "claims",
    "not_yet": "claims",
}


def _refused_tokens() -> Iterator[dict[str, Any]]:
    for said, cause in CAUSES.items():
        error = unauthenticated(cause, f"the token is refused: {cause}")
        yield _mapper([_status(401), _told(said)], error)
    yield _mapper([_status(401)], unauthenticated("malformed", "the token is no JSON Web Token"))


# What the edge says of a request that never became a call, by its status: there is no such path, the body or
# the query is not what the contract says, there is too much of it.
NO_CALL = {
    HTTPStatus.NOT_FOUND: code_pb2.NOT_FOUND,
    HTTPStatus.BAD_REQUEST: code_pb2.INVALID_ARGUMENT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: code_pb2.RESOURCE_EXHAUSTED,
}


def _no_call() -> Iterator[dict[str, Any]]:
    for status, code in NO_CALL.items():
        body: dict[str, Any] = {"code": code, "message": "%LOCAL_REPLY_BODY%"}
        if code == code_pb2.INVALID_ARGUMENT:
            info = error_details_pb2.ErrorInfo(reason="INVALID_FIELD", domain=DOMAIN)
            kind = f"type.googleapis.com/{info.DESCRIPTOR.full_name}"
            body["details"] = [{"@type": kind, **json_format.MessageToDict(info)}]
        told = [] if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else [_told("transcode_failure")]
        yield {"filter": _all([_status(status), *told]), "body_format_override": _json(body)}


def _as_json(mapper: dict[str, Any]) -> dict[str, Any]:
    """Return what answers the same to a caller of JSON: the body is the status, details and all."""
    header = mapper["headers_to_add"][0]
    status = status_pb2.Status.FromString(base64.b64decode(header["header"]["value"]))
    # The transcoder leaves this; what a caller says in it is taken away before.
    transcoded = {"header_filter": {"header": {"name": "x-envoy-original-path", "present_match": True}}}
    other = {
        "name": "content-type",
        "string_match": {"prefix": "application/grpc"},
        "treat_missing_header_as_empty": True,
        "invert_match": True,
    }
    json_caller = {"or_filter": {"filters": [transcoded, {"header_filter": {"header": other}}]}}
    filters = mapper["filter"].get("and_filter", {}).get("filters", [mapper["filter"]])
    found = {**mapper, "filter": _all([json_caller, *filters])}
    return found | {"body_format_override": _json(json_format.MessageToDict(status))}


def _as_web(mapper: dict[str, Any]) -> dict[str, Any]:
    """Return what answers the same to a caller of gRPC-Web: Envoy takes it for no gRPC where it refuses."""
    details = mapper["headers_to_add"][0]
    status = status_pb2.Status.FromString(base64.b64decode(details["header"]["value"]))
    trailers = {"grpc-status": str(status.code), "grpc-message": quote(status.message, safe=" '/:,")}
    headers = [
        {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for key, value in trailers.items()
    ]
    web = {"header_filter": {"header": {"name": "x-grpc-web", "present_match": True}}}
    filters = mapper["filter"].get("and_filter", {}).get("filters", [mapper["filter"]])
    return {
        "filter": _all([web, *filters]),
        "status_code": HTTPStatus.OK,
        "body": {"inline_string": ""},
        "body_format_override": {
            "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
            "content_type": "application/grpc-web+proto",
        },
        "headers_to_add": [details, *headers],
    }


def _json(body: dict[str, Any]) -> dict[str, Any]:
    # What stands in a map has no order of its own.
    ordered = json.loads(json.dumps(body, sort_keys=True))
    return {"json_format": ordered, "content_type": "application/json"}


def _all(filters: list[dict[str, Any]]) -> dict[str, Any]:
    return {"and_filter": {"filters": filters}} if len(filters) > 1 else filters[0]


def _told(text: str) -> dict[str, Any]:
    """Return what matches where Envoy's reason for an answer of its own has a text in it."""
    expression = f"response.code_details.contains('{text}')"
    return {
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": {
                "@type": f"{EXTENSIONS}.access_loggers.filters.cel.v3.ExpressionFilter",
                "expression": expression,
            },
        }
    }


def _flag(name: str) -> dict[str, Any]:
    return {"response_flag_filter": {"flags": [name]}}


def _status(code: int) -> dict[str, Any]:
    # Every comparison of Envoy has a key to change it by at run time: nobody does.
    comparison = {"op": "EQ", "value": {"default_value": code, "runtime_key": "inventory.unused"}}
    return {"status_code_filter": {"comparison": comparison}}


def _mapper(
    filters: list[dict[str, Any]], error: CallError, status: int | None = None, *, exhausted: bool = False
) -> dict[str, Any]:
    """Return what answers with an error's message and details where all filters match.

    No status of HTTP is RESOURCE_EXHAUSTED to Envoy: what is `exhausted` says so itself.
    """
    details = base64.b64encode(error.to_status().SerializeToString(deterministic=True)).decode()
    found: dict[str, Any] = {
        "filter": _all(filters),
        "body": {"inline_string": error.message},
        "headers_to_add": [{"header": {"key": DETAILS_KEY, "value": details}}],
    }
    if exhausted:
        code = str(error.code.value[0])
        found["headers_to_add"].append({"header": {"key": "grpc-status", "value": code}})
    return found if status is None else found | {"status_code": status}
