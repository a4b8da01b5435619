"""What the edge's Envoy enforces of the table of roles, and what it says to whom it does not let through."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from answers import Answer, Mapper, by_grpc, every_way, flag, header, status, told
from transcoding import MAX_REQUEST_BYTES

from inventory.type.v1 import error_reason_pb2
from inventory.type.v1.access_pb2 import Role
from serving.access import ACCESS, role_name, role_named
from serving.errors import CallError, unavailable
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
    """Return envoy/generated/refusals.json: how the edge answers by itself, whichever way a caller comes."""
    answers = [UPGRADE, *_not_admitted(), *NO_CALL, *AWAY, *OTHERWISE]
    return json.dumps({"mappers": [*every_way(LIMITED), *every_way(answers)]}, indent=1) + "\n"


def sidecar_refusals() -> str:
    """Return envoy/generated/sidecar-refusals.json: how a sidecar answers for a service, by gRPC alone."""
    return json.dumps({"mappers": by_grpc([*CROWDED, *AWAY])}, indent=1) + "\n"


def gateway_answers() -> list[Mapper]:
    """Return how the gateway of the mesh answers by itself; which role a method asks for, it knows not."""
    answers = [UPGRADE, *_without_token(), *NO_CALL, *AWAY, *OTHERWISE]
    return [*every_way(LIMITED), *every_way(answers)]


def mesh_answers() -> list[Mapper]:
    """Return how a sidecar of the mesh answers for a service: by gRPC, which every call is by then."""
    return by_grpc([*LIMITED, *_not_admitted(), *AWAY])


# To come again after, in seconds: buckets fill within one; room is made sooner, and so is a way around.
RATE_RETRY = 1.0
ROOM_RETRY = 0.25

_FULL = CallError(
    error_reason_pb2.ERROR_REASON_QUEUE_FULL, "too many calls are in progress", retry_after=ROOM_RETRY
)
# A proxy has as many calls under way as it, or its service, can carry.
CROWDED = [
    Answer([sign], _FULL, HTTPStatus.TOO_MANY_REQUESTS)
    for sign in (flag("UO"), flag("OM"), told("reached_concurrency_limit"))
]
_RATE = CallError(
    error_reason_pb2.ERROR_REASON_RATE_LIMITED,
    "more calls a second than the caller, its address or the method may have",
    retry_after=RATE_RETRY,
)
# Envoy tries one answer after the other; a flood asks for these, so they stand first wherever they are.
LIMITED = [*CROWDED, Answer([told("local_rate_limited")], _RATE)]


def _invalid(message: str) -> CallError:
    return CallError(error_reason_pb2.ERROR_REASON_INVALID_FIELD, message)


def _too_large(message: str) -> CallError:
    return CallError(error_reason_pb2.ERROR_REASON_REQUEST_TOO_LARGE, message)


def _late(message: str) -> CallError:
    return CallError(error_reason_pb2.ERROR_REASON_DEADLINE_EXCEEDED, message)


# Envoy says 403, as if it were for the want of a role.
UPGRADE = Answer(
    [told("upgrade_failed")], _invalid("no other protocol is spoken here"), HTTPStatus.BAD_REQUEST
)
# What has not become a call. Of what the transcoder cannot read, it says where it stopped.
NO_CALL = [
    Answer(
        [status(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)],
        _too_large(f"the body is larger than {MAX_REQUEST_BYTES} bytes"),
    ),
    Answer(
        [status(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)],
        _too_large("the headers are larger than 16 KiB, or more than 64"),
    ),
    Answer(
        [status(HTTPStatus.NOT_FOUND)],
        CallError(error_reason_pb2.ERROR_REASON_ADDRESS_NOT_FOUND, "no method has this address"),
    ),
    Answer(
        [status(HTTPStatus.BAD_REQUEST), told("transcode_failure")],
        _invalid("the request is not what its method takes"),
        quotes=True,
    ),
    Answer([status(HTTPStatus.REQUEST_TIMEOUT)], _late("the request took longer to come than it may")),
]

# The service behind, as this proxy sees it.
AWAY = [
    *(
        Answer([status(code)], unavailable("service", ROOM_RETRY))
        for code in (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)
    ),
    Answer([status(HTTPStatus.GATEWAY_TIMEOUT)], _late("the call took longer than a call may")),
]
_NO_HTTP = _invalid("the request is none that HTTP allows, or that is spoken here")
OTHERWISE = [
    Answer([status(HTTPStatus.NOT_IMPLEMENTED)], _NO_HTTP),
    Answer(
        [status(HTTPStatus.INTERNAL_SERVER_ERROR, "GE")],
        CallError(error_reason_pb2.ERROR_REASON_INTERNAL, "the proxy could not pass the answer on"),
    ),
    Answer([status(HTTPStatus.BAD_REQUEST, "GE")], _NO_HTTP),
]


_REFUSED = status(HTTPStatus.FORBIDDEN)


def _not_admitted() -> Iterator[Answer]:
    """Yield what answers to those who do not prove who they are, or may not call the method."""
    yield from _anonymous()
    for path in sorted(ACCESS):
        yield Answer([_REFUSED, header(":path", string_match={"exact": path})], permission_denied(path))
    yield NO_METHOD
    yield from _bad_tokens()


def _without_token() -> Iterator[Answer]:
    """Yield what answers where whoever brings a good token is let in, whatever its roles."""
    yield from _anonymous()
    # It does not say who has it, or what is brought is no token at all.
    some = header(":path", string_match={"prefix": "/inventory."})
    yield Answer([_REFUSED, some], _MISSING, HTTPStatus.UNAUTHORIZED)
    yield NO_METHOD
    yield from _bad_tokens()


_MISSING = unauthenticated("missing", "the call brings no token, and no certificate that is known")
NO_METHOD = Answer(
    [_REFUSED], CallError(error_reason_pb2.ERROR_REASON_PERMISSION_DENIED, "nobody has such a method")
)


def _anonymous() -> Iterator[Answer]:
    # Envoy says 403 to a token for others.
    others = unauthenticated("claims", "the token is refused: claims")
    yield Answer([_REFUSED, told("jwt_authn")], others, HTTPStatus.UNAUTHORIZED)
    anonymous = [
        # Of another scheme, it is no token either.
        header("authorization", string_match={"prefix": "Bearer "}, invert_match=True),
        *(
            header(
                "x-forwarded-client-cert",
                string_match={"contains": f"/ns/{NAMESPACE}/sa/{name}"},
                invert_match=True,
            )
            for name in WORKLOADS
        ),
    ]
    yield Answer([_REFUSED, *anonymous], _MISSING, HTTPStatus.UNAUTHORIZED)


def _bad_tokens() -> Iterator[Answer]:
    for said, cause in CAUSES.items():
        error = unauthenticated(cause, f"the token is refused: {cause}")
        yield Answer([status(HTTPStatus.UNAUTHORIZED), told(said)], error)
    malformed = unauthenticated("malformed", "the token is no JSON Web Token")
    yield Answer([status(HTTPStatus.UNAUTHORIZED)], malformed)


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


def _by_token(role: Role.ValueType) -> dict[str, Any]:
    value = {"list_match": {"one_of": {"string_match": {"exact": role_name(role)}}}}
    path = [{"key": STACK_CLAIMS}, {"key": "roles"}]
    return {"metadata": {"filter": TOKEN_FILTER, "path": path, "value": value}}


def _by_certificate(roles: frozenset[Role.ValueType]) -> Iterator[dict[str, Any]]:
    for name, role in WORKLOADS.items():
        if role_named(role) in roles:
            yield {"authenticated": {"principal_name": {"suffix": f"/ns/{NAMESPACE}/sa/{name}"}}}
