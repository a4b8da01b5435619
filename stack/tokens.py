"""Tokens of the stack's own issuer: what a caller asks it for."""

from collections.abc import Iterable

import httpx

from client.tokens import IssuedTokens, TokenSource
from inventory.type.v1.access_pb2 import Role
from serving.access import role_name
from stack import credentials
from stack.addresses import Addresses
from stack.errors import StackError
from stack.issuer.granting import DEVELOPMENT_GRANT

PATIENCE = 5.0
EVERY_ROLE = tuple(role_name(role) for role in Role.values() if role != Role.ROLE_UNSPECIFIED)
RENEWED_SECONDS = 240
"""How long the tokens of a source last: less than a step-up counts."""


def form(
    at: Addresses,
    subject: str,
    roles: Iterable[str],
    *,
    locations: Iterable[str] = (),
    step_up: bool = False,
) -> dict[str, str]:
    """Return what to ask the issuer's token endpoint for; it holds a password."""
    return {
        "grant_type": DEVELOPMENT_GRANT,
        "client_secret": credentials.load(at.home)["INVENTORY_ISSUER_PASSWORD"],
        "subject": subject,
        "role": " ".join(roles),
        "locations": " ".join(locations),
        "step_up": str(step_up).lower(),
    }


def source(
    at: Addresses,
    subject: str,
    roles: Iterable[str] = EVERY_ROLE,
    *,
    locations: Iterable[str] = (),
    step_up: bool = True,
) -> TokenSource:
    """Return a source of tokens for the typed client; with step-up, never of one that lies too far back."""
    asked = form(at, subject, roles, locations=locations, step_up=step_up)
    return IssuedTokens(f"{at.issuer}/token", asked | {"expires_in": str(RENEWED_SECONDS)})


def fetch(at: Addresses, asked: dict[str, str]) -> str:
    """Return a token; StackError when there is none to be had."""
    try:
        response = httpx.post(f"{at.issuer}/token", data=asked, timeout=PATIENCE, trust_env=False)
    except httpx.HTTPError as error:
        raise StackError(f"the issuer at {at.issuer} does not answer: does the stack run?") from error
    answer = _object_in(response)
    if response.is_error or "access_token" not in answer:
        why = answer.get("error_description") or answer.get("error") or f"HTTP status {response.status_code}"
        raise StackError(f"no token: {why}")
    return str(answer["access_token"])


def _object_in(response: httpx.Response) -> dict[str, object]:
    """Return the JSON object of a response; an empty one if it holds none, as that of a proxy may."""
    try:
        held = response.json()
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}
