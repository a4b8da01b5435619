"""Access tokens: JSON Web Tokens of one issuer, verified once and remembered until they end."""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any, NamedTuple

from joserfc import jws, jwt
from joserfc.errors import (
    BadSignatureError,
    ExpiredTokenError,
    InvalidClaimError,
    JoseError,
    MissingClaimError,
    UnsupportedAlgorithmError,
)
from joserfc.jwk import ECKey, RSAKey

from serving.access import role_named
from serving.errors import unavailable
from serving.identity import Caller, StepUp, unauthenticated
from serving.identity_settings import ClaimName
from serving.keys import ALGORITHMS, KeySource, KeysUnavailableError, UnknownKeyError

__all__ = ["Claims", "Naming", "TokenVerifier"]

LEEWAY_SECONDS = 10
"""How far the clocks of issuer and service may be apart."""
TRUST_SECONDS = 300.0
"""For how long a token is not verified again: after that, its key may have been withdrawn."""
MOST_BYTES = 8192
MOST_KNOWN = 10_000
MOST_LOCATIONS = 1000
ACR_AND_AMR: tuple[ClaimName, ...] = ("acr", "amr")
_SUBJECT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:@/|=+~-]{0,127}")

Naming = Callable[[str], Awaitable[str]]
"""Returns the pseudonym of a subject; raises CallError."""

_REGISTRY = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)


class Claims(NamedTuple):
    """What a token must say, and where it says more than that, by the paths of claims."""

    issuer: str
    audience: str
    paths: Mapping[ClaimName, tuple[str, ...]] = MappingProxyType({})


class _Remembered(NamedTuple):
    caller: Caller
    until: float


class TokenVerifier:
    """Verifies tokens; the newest MOST_KNOWN good ones are known by their hashes for TRUST_SECONDS."""

    def __init__(  # noqa: PLR0913 - each is named by whoever calls
        self,
        keys: KeySource,
        claims: Claims,
        step_up: StepUp,
        *,
        clock: Callable[[], float] = time.time,
        naming: Naming | None = None,
        names_all: bool = False,
    ) -> None:
        """Take who gives pseudonyms: to subjects that are e-mail addresses, or to all."""
        self._naming = naming
        self._names_all = names_all
        self._keys = keys
        self._claims = claims
        self._step_up = step_up
        self._clock = clock
        self._known: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._registry = jwt.JWTClaimsRegistry(
            now=lambda: int(clock()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": claims.issuer},
            aud={"essential": True, "value": claims.audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    def known(self, token: str) -> Caller | None:
        """Return the bearer of a token that has been verified before; None if it must be verified."""
        digest = _digest(token)
        remembered = self._known.get(digest)
        if remembered is None:
            return None
        if remembered.until <= self._clock():
            del self._known[digest]
            return None
        self._known.move_to_end(digest)
        return remembered.caller

    async def verify(self, token: str) -> Caller:
        """Return the bearer of a token.

        Raises CallError UNAUTHENTICATED, naming the cause, and DEPENDENCY_UNAVAILABLE when the issuer's keys
        cannot be had.
        """
        if len(token) > MOST_BYTES:
            raise unauthenticated("malformed", f"the token is longer than {MOST_BYTES} bytes")
        claims = await self._verified(token)
        caller = self._caller(claims)
        if self._naming is not None and (self._names_all or "@" in caller.subject):
            caller = caller._replace(subject=await self._naming(caller.subject))
        until = min(caller.expires, self._clock() + TRUST_SECONDS)
        self._known[_digest(token)] = _Remembered(caller, until)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return caller

    async def _verified(self, token: str) -> dict[str, Any]:
        try:
            key = await self._key_of(token)
            verified = jwt.decode(token, key, registry=_REGISTRY).claims
            self._registry.validate(verified)
        except UnsupportedAlgorithmError as error:
            raise unauthenticated("algorithm", f"tokens are signed with {' or '.join(ALGORITHMS)}") from error
        except UnknownKeyError as error:
            raise unauthenticated("key", "the token's key is none of the issuer's") from error
        except KeysUnavailableError as error:
            raise unavailable("token issuer") from error
        except BadSignatureError as error:
            raise unauthenticated("signature", "the token's signature is not its key's") from error
        except ExpiredTokenError as error:
            raise unauthenticated("expired", "the token has expired") from error
        except (InvalidClaimError, MissingClaimError) as error:
            raise unauthenticated("claims", f"the token's claims are refused: {error}") from error
        except (JoseError, ValueError) as error:
            raise unauthenticated("malformed", "the token is no JSON Web Token") from error
        return verified

    async def _key_of(self, token: str) -> ECKey | RSAKey:
        """Return the key that a token names, one of the algorithm that it names."""
        header = jws.extract_compact(token.encode(), registry=_REGISTRY).headers()
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS:
            raise UnsupportedAlgorithmError
        if not isinstance(key_id, str):
            raise UnknownKeyError
        return await self._keys.key(key_id, algorithm)

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        subject = claims["sub"]
        if not _SUBJECT.fullmatch(subject):
            raise unauthenticated("claims", f"the token's sub must match {_SUBJECT.pattern}")
        roles = (role_named(name) for name in self._texts(claims, "roles"))
        return Caller(
            subject,
            frozenset(role for role in roles if role is not None),
            frozenset(self._texts(claims, "locations")[:MOST_LOCATIONS]),
            stepped_up_until=self._stepped_up_until(claims),
            expires=claims["exp"] + LEEWAY_SECONDS,
            proof="token",
            step_up=self._step_up,
        )

    def _stepped_up_until(self, claims: Mapping[str, Any]) -> float:
        proved_at = self._find(claims, "auth_time")
        if not isinstance(proved_at, int | float) or not isfinite(proved_at):
            return 0.0
        if proved_at > self._clock() + LEEWAY_SECONDS:
            return 0.0
        wanted = {"acr": self._step_up.acr_values, "amr": self._step_up.amr_values}
        proved = any(value in wanted[name] for name in ACR_AND_AMR for value in self._texts(claims, name))
        return proved_at + self._step_up.max_age if proved else 0.0

    def _texts(self, claims: Mapping[str, Any], name: ClaimName) -> list[str]:
        """Return the texts of a claim that is a list of them, or one alone; none if it is anything else."""
        found = self._find(claims, name)
        if isinstance(found, str):
            return [found]
        return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []

    def _find(self, claims: Mapping[str, Any], name: ClaimName) -> Any:  # noqa: ANN401 - whatever was issued
        found: Any = claims
        for step in self._claims.paths.get(name, (name,)):
            found = found.get(step) if isinstance(found, dict) else None
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
