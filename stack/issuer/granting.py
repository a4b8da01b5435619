"""Which tokens the issuer gives for what is asked."""

import hmac
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

from joserfc import jwt

from serving.access import role_named
from stack.issuer.keys import KeyRing

AUDIENCE = "inventory"
DEVELOPMENT_GRANT = "urn:inventory:grant-type:development"
"""Asks for a token for any `subject` with any `role` at any `locations` (each separated by spaces), as it is
after a step-up where `step_up` is "true", for `expires_in` seconds."""
SERVICES = {"order-service": (["order_service"], []), "till": (["clerk"], ["BER-1"])}
"""The clients of the grant client_credentials, their roles and, of clerks, their locations."""
LIFETIME = 900
LONGEST_LIFETIME = 3600
_SUBJECT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:@/|=+~-]{0,127}")


class GrantError(Exception):
    """No token; `code` is one of RFC 6749, section 5.2."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code


def grant(asked: Mapping[str, str], keys: KeyRing, issuer: str, password: str) -> dict[str, Any]:
    """Return the answer of the token endpoint; raises GrantError."""
    if not hmac.compare_digest(asked.get("client_secret", "").encode(), password.encode()):
        raise GrantError("invalid_client", "client_secret is not the stack's INVENTORY_ISSUER_PASSWORD")
    kind = asked.get("grant_type", "")
    if kind == "client_credentials":
        claims = _of_service(asked.get("client_id", ""))
    elif kind == DEVELOPMENT_GRANT:
        claims = _of_anybody(asked)
    else:
        raise GrantError("unsupported_grant_type", f"client_credentials or {DEVELOPMENT_GRANT}")
    seconds = _seconds(asked.get("expires_in", ""))
    now = int(time.time())
    key = keys.signing()
    registered = {
        "iss": issuer,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + seconds,
        "jti": str(uuid.uuid4()),
    }
    token = jwt.encode({"alg": "ES256", "kid": key.kid, "typ": "at+jwt"}, registered | claims, key)
    return {"access_token": token, "token_type": "Bearer", "expires_in": seconds}


def _of_service(name: str) -> dict[str, Any]:
    if name not in SERVICES:
        raise GrantError("invalid_client", f"client_id is none of {', '.join(SERVICES)}")
    roles, locations = SERVICES[name]
    return {"sub": name, "roles": roles, "locations": locations}


def _of_anybody(asked: Mapping[str, str]) -> dict[str, Any]:
    roles = asked.get("role", "").split()
    unknown = [name for name in roles if role_named(name) is None]
    if unknown or not roles:
        raise GrantError("invalid_scope", f"there is no role {' '.join(unknown)}".rstrip())
    subject = asked.get("subject") or "-".join(roles)
    if not _SUBJECT.fullmatch(subject):
        raise GrantError("invalid_request", f"subject must match {_SUBJECT.pattern}")
    claims: dict[str, Any] = {"sub": subject, "roles": roles, "locations": asked.get("locations", "").split()}
    if asked.get("step_up") == "true":
        claims |= {"auth_time": int(time.time()), "amr": ["pwd", "otp", "mfa"], "acr": "mfa"}
    return claims


def _seconds(text: str) -> int:
    if not text:
        return LIFETIME
    if not text.isdecimal() or not 1 <= int(text) <= LONGEST_LIFETIME:
        raise GrantError("invalid_request", f"expires_in must be 1 to {LONGEST_LIFETIME}")
    return int(text)
