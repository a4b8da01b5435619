"""Access tokens, fetched from the issuer's token endpoint when they are needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import grpc
import httpx
from google.rpc import status_pb2

from .errors import InventoryError
from .status import error_from_status

TokenSource: TypeAlias = Callable[[], Awaitable[str]]
"""Returns an access token that is good for now. Asked before every attempt of a call: it should keep one."""

AHEAD_SECONDS = 30.0
"""How long before its end a token is replaced."""


class IssuedTokens:
    """A source of tokens from an issuer (RFC 6749).

    endpoint: URL of the token endpoint.
    form: what is asked there, such as grant_type, client_id and client_secret.
    timeout: seconds for one answer.

    A token is kept until shortly before it ends; concurrent calls wait for the same new one. Raises
    UnavailableError while the issuer does not answer, UnauthenticatedError when it gives none.
    """

    def __init__(self, endpoint: str, form: Mapping[str, str], *, timeout: float = 5.0) -> None:
        self._endpoint = endpoint
        self._form = dict(form)
        self._timeout = timeout
        self._token = ""
        self._renew = 0.0
        self._asking = asyncio.Lock()

    async def __call__(self) -> str:
        """Return the token."""
        if time.monotonic() < self._renew:
            return self._token
        async with self._asking:
            if time.monotonic() >= self._renew:
                await self._ask()
        return self._token

    async def _ask(self) -> None:
        asked = time.monotonic()
        try:
            async with httpx.AsyncClient(timeout=self._timeout) as http:
                response = await http.post(self._endpoint, data=self._form)
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise _failure(grpc.StatusCode.UNAVAILABLE, f"{self._endpoint}: {error!r}") from error
        if response.is_server_error:
            raise _failure(grpc.StatusCode.UNAVAILABLE, f"{self._endpoint}: HTTP {response.status_code}")
        try:
            token, lasts = str(answer["access_token"]), float(answer["expires_in"])
        except (KeyError, TypeError, ValueError) as error:
            raise _failure(grpc.StatusCode.UNAUTHENTICATED, f"{self._endpoint} answers {answer}") from error
        self._token = token
        # One that lasts for less than twice the time ahead is used for half its life.
        self._renew = asked + max(lasts - AHEAD_SECONDS, lasts / 2)


def _failure(code: grpc.StatusCode, message: str) -> InventoryError:
    return error_from_status(status_pb2.Status(code=code.value[0], message=message))
