"""The issuer's public keys, fetched when they are needed and kept for a while."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import httpx
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

__all__ = ["ALGORITHMS", "KeySource", "KeysUnavailableError", "UnknownKeyError"]

ALGORITHMS = ("ES256", "RS256")
REFRESH_SECONDS = 300.0
"""How old the keys may become before they are fetched again: one that is withdrawn is good no longer."""
LAST_SECONDS = 3600.0
"""How long they are still trusted while they cannot be fetched."""
PAUSE_SECONDS = 3.0
"""The least time between two fetches, however many tokens name keys that are not known."""
FETCH_SECONDS = 3.0
MOST_BYTES = 256 * 1024
MOST_KEYS = 64
LEAST_RSA_BITS = 2048

_log = structlog.get_logger()


class UnknownKeyError(Exception):
    """The issuer has no such key for the algorithm."""


class KeysUnavailableError(Exception):
    """The issuer's keys cannot be had."""


class _Known(NamedTuple):
    algorithm: str
    key: ECKey | RSAKey


class KeySource:
    """The keys of a JSON Web Key Set at `source`: an https URL (http on the loopback) or the path of a file.

    A key that is not known, and keys that have come of age, are fetched, at most every PAUSE_SECONDS.
    """

    def __init__(self, source: str, *, clock: Callable[[], float] = monotonic) -> None:
        self._source = source
        self._clock = clock
        self._keys: Mapping[str, _Known] = {}
        self._fetched = self._tried = float("-inf")
        self._fetching = asyncio.Lock()

    async def key(self, key_id: str, algorithm: str) -> ECKey | RSAKey:
        """Return the key that a token names; raises UnknownKeyError or KeysUnavailableError."""
        if not self._knows(key_id):
            async with self._fetching:
                if not self._knows(key_id) and self._clock() - self._tried >= PAUSE_SECONDS:
                    await self._fetch()
        if self._clock() - self._fetched > LAST_SECONDS:
            raise KeysUnavailableError
        known = self._keys.get(key_id)
        if known is None or known.algorithm != algorithm:
            raise UnknownKeyError
        return known.key

    def _knows(self, key_id: str) -> bool:
        return key_id in self._keys and self._clock() - self._fetched <= REFRESH_SECONDS

    async def _fetch(self) -> None:
        self._tried = self._clock()
        try:
            self._keys = dict(_usable(json.loads(await self._read())))
        except (httpx.HTTPError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            _log.warning("the issuer's keys cannot be fetched", source=self._source, cause=repr(error))
            return
        self._fetched = self._clock()
        _log.info("the issuer's keys", source=self._source, keys=sorted(self._keys))

    async def _read(self) -> bytes:
        if "://" not in self._source:
            return await asyncio.to_thread(Path(self._source).read_bytes)
        async with (
            httpx.AsyncClient(
                timeout=FETCH_SECONDS, trust_env=False, verify=ssl.create_default_context()
            ) as client,
            asyncio.timeout(FETCH_SECONDS),
            client.stream("GET", self._source) as response,
        ):
            response.raise_for_status()
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise ValueError("larger than a key set may be")
            return body


def _usable(key_set: dict[str, Any]) -> Iterator[tuple[str, _Known]]:
    """Yield the keys that may verify a token, by their ids; pass over all others."""
    for given in key_set["keys"][:MOST_KEYS]:
        if not isinstance(given.get("kid"), str) or given.get("use", "sig") != "sig":
            continue
        public = {name: value for name, value in given.items() if name not in {"d", "key_ops"}}
        try:
            known = _import(public)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            _log.warning("a key of the issuer is no good", key=given["kid"], cause=repr(error))
            continue
        if known is not None and given.get("alg", known.algorithm) == known.algorithm:
            yield given["kid"], known


def _import(public: dict[str, Any]) -> _Known | None:
    if public.get("kty") == "EC" and public.get("crv") == "P-256":
        return _Known("ES256", ECKey.import_key(public))
    if public.get("kty") == "RSA":
        modulus = base64.urlsafe_b64decode(public["n"] + "==").lstrip(b"\0")
        if 8 * len(modulus) >= LEAST_RSA_BITS:
            return _Known("RS256", RSAKey.import_key(public))
    return None
