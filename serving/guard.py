"""The guard at a server's door: finds out who calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from serving.access_tokens import Claims, Naming, TokenVerifier
from serving.identity import Caller, Metadata, StepUp, self_named, unauthenticated
from serving.identity_settings import IdentitySettings, Workload
from serving.keys import KeySource
from serving.workloads import FORWARDED_KEY, Workloads

__all__ = ["Guard", "Guarded", "Unguarded", "guard_of"]

TOKEN_KEY = "authorization"  # noqa: S105 - a header's name
_SCHEME = "bearer "


class Guard(Protocol):
    """Tells the caller from a call's metadata."""

    def recognize(self, metadata: Metadata) -> Caller | None:
        """Return the caller where that can be told at once; else None, and `identify` tells."""

    async def identify(self, metadata: Metadata) -> Caller:
        """Return the caller; raises CallError."""


class Unguarded:
    """Takes everybody at their word."""

    def recognize(self, metadata: Metadata) -> Caller | None:
        """Return the caller as it names itself; raises as `identity.checked`."""
        return self_named(metadata)

    async def identify(self, metadata: Metadata) -> Caller:
        """Do the same."""
        return self_named(metadata)


class Guarded:
    """Lets in who brings a token of the issuer or, without one, is a workload we know."""

    def __init__(self, tokens: TokenVerifier, workloads: Workloads) -> None:
        self._tokens = tokens
        self._workloads = workloads

    def recognize(self, metadata: Metadata) -> Caller | None:
        """Return the caller, unless its token must be verified or it brings nothing that is believed."""
        forwarded = None
        token = None
        for key, value in metadata:
            if key == TOKEN_KEY:
                if token is not None:
                    return None
                token = _bearer(value)
            elif key == FORWARDED_KEY:
                forwarded = value
        if token is not None:
            return self._tokens.known(token)
        return self._workloads.caller(forwarded) if isinstance(forwarded, str) else None

    async def identify(self, metadata: Metadata) -> Caller:
        """Return the caller; raises CallError UNAUTHENTICATED or DEPENDENCY_UNAVAILABLE.

        To be called where `recognize` could not tell.
        """
        given = [value for key, value in metadata if key == TOKEN_KEY]
        if not given:
            raise unauthenticated("missing", "the call brings no token, and no certificate that is known")
        token = _bearer(given[0]) if len(given) == 1 else ""
        if not token:
            raise unauthenticated("malformed", "authorization must be one Bearer token")
        return await self._tokens.verify(token)


def guard_of(settings: IdentitySettings, naming: Naming | None = None) -> Guard:
    """Return the guard that the settings ask for; `naming` gives pseudonyms to those who are to have one."""
    if not settings.identity_issuer:
        return Unguarded()
    step_up = StepUp(settings.step_up_seconds, settings.step_up_acr, settings.step_up_amr)
    claims = Claims(settings.identity_issuer, settings.identity_audience, settings.identity_claims)
    return Guarded(
        TokenVerifier(
            KeySource(settings.identity_jwks),
            claims,
            step_up,
            naming=naming,
            names_all=settings.identity_pseudonyms == "all",
        ),
        Workloads(_callers(settings.identity_workloads), settings.identity_proxies),
    )


def _callers(workloads: Mapping[str, Workload]) -> dict[str, Caller]:
    # A workload needs no step-up: it proves its key with every connection.
    return {
        identity: Caller(
            identity,
            workload.as_roles,
            frozenset(workload.locations),
            stepped_up_until=float("inf"),
            proof="certificate",
        )
        for identity, workload in workloads.items()
    }


def _bearer(value: str | bytes) -> str:
    """Return the token of an authorization header; "" if it is no Bearer token."""
    if not isinstance(value, str) or value[: len(_SCHEME)].lower() != _SCHEME:
        return ""
    return value[len(_SCHEME) :].strip()
