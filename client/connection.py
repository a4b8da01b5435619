"""One connection, and how every call goes over it."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Literal, Protocol, Self, TypeVar, cast

import grpc
from google.protobuf.message import Message

from inventory.query.v1.consistency_pb2 import Consistency

from .channels import connect
from .errors import InventoryError
from .retry import RetryBudget, RetryPolicy
from .routing import CALL_KEY, ITEM_KEY, item_of
from .status import error_from_call
from .tls import Tls
from .tokens import TokenSource

Request = TypeVar("Request")
Response = TypeVar("Response")


class _CommandMessage(Protocol):
    """A request of the command side: it has a request_id, and can be copied."""

    request_id: str

    def CopyFrom(self, other: Self, /) -> None:  # noqa: N802 - protobuf's name
        ...


class _CommandAnswer(Protocol):
    """An answer of the command side."""

    @property
    def consistency_token(self) -> str:
        """Names what the command did; empty when it changed nothing."""


class _QueryMessage(Protocol):
    """A request of the query side: it says how fresh the answer must be, and can be copied."""

    @property
    def consistency(self) -> Consistency:
        """How fresh the answer must be."""

    def HasField(self, field_name: Literal["consistency"], /) -> bool:  # noqa: N802 - protobuf's name
        ...

    def CopyFrom(self, other: Self, /) -> None:  # noqa: N802 - protobuf's name
        ...


Command = TypeVar("Command", bound=_CommandMessage)
Answer = TypeVar("Answer", bound=_CommandAnswer)
Query = TypeVar("Query", bound=_QueryMessage)


class Connection:
    """A channel to one address, and calls over it that are tried again within one deadline.

    What the arguments mean, `InventoryClient` says; the classes of the services build on this one.
    """

    def __init__(  # noqa: PLR0913 - each is named by whoever calls
        self,
        address: str,
        *,
        actor: str = "",
        tls: Tls | None = None,
        token: TokenSource | None = None,
        timeout: float = 10.0,
        retry: RetryPolicy | None = None,
        read_your_writes: bool = True,
    ) -> None:
        self._channel = connect(address, tls)
        self._actor = (("x-inventory-actor", actor),) if actor else ()
        self._token_source = token
        self._timeout = timeout
        self._retry = retry or RetryPolicy()
        self._budget = RetryBudget(self._retry)
        self._read_your_writes = read_your_writes
        self._token = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        await self._channel.close()

    async def _command(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Command, Answer],
        request: Command,
        timeout: float | None,
    ) -> Answer:
        if not request.request_id:
            given, request = request, type(request)()
            request.CopyFrom(given)
            request.request_id = str(uuid.uuid4())
        item = item_of(cast("Message", request))  # a type cannot be bound to both
        answer = await self._call(method, request, timeout, request.request_id, item)
        self._remember(answer.consistency_token)
        return answer

    async def _query(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Query, Response], request: Query, timeout: float | None
    ) -> Response:
        if self._read_your_writes and self._token and not request.HasField("consistency"):
            given, request = request, type(request)()
            request.CopyFrom(given)
            request.consistency.at_least_as_fresh = self._token
        return await self._call(method, request, timeout)

    def _remember(self, token: str) -> None:
        """Keep the token of what was recorded last; a repeated command is answered with its first token."""
        if token and (not self._token or _recorded(token) > _recorded(self._token)):
            self._token = token

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
        request_id: str = "",
        item: str = "",
    ) -> Response:
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        call_id = new_call_id()
        self._budget.add()
        attempt = 0
        while True:
            attempt += 1
            try:
                metadata = await self._metadata(call_id, item)
                return await method(request, timeout=max(0.0, deadline - time.monotonic()), metadata=metadata)
            except grpc.aio.AioRpcError as failure:
                error = error_from_call(failure, request_id=request_id, call_id=call_id)
            except InventoryError as failure:  # the source of tokens
                error = failure
            pause = self._retry.pause(error, attempt, deadline - time.monotonic())
            if pause is None or not self._budget.take(error):
                raise error
            await asyncio.sleep(pause)

    async def _answers(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
    ) -> AsyncGenerator[Response, None]:
        """Yield the answers of one call, which is not tried again; it may take `timeout` seconds, if any."""
        call_id = new_call_id()
        call = method(request, timeout=timeout, metadata=await self._metadata(call_id))
        try:
            async for message in call:
                yield message
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
            raise error_from_call(failure, call_id=call_id) from failure
        finally:
            call.cancel()

    async def _metadata(self, call_id: str, item: str = "") -> tuple[tuple[str, str], ...]:
        """Return who calls and what the call says of itself; raises as the source of tokens does."""
        metadata = (*self._actor, (CALL_KEY, call_id))
        if item:
            metadata = (*metadata, (ITEM_KEY, item))
        if self._token_source is None:
            return metadata
        return (*metadata, ("authorization", f"Bearer {await self._token_source()}"))


def new_call_id() -> str:
    """Return what names a call, or all calls of a stream that is resumed, to logs and the audit log."""
    return str(uuid.uuid4())


def _recorded(token: str) -> bytes:
    """Return what puts tokens, of any version, in the order in which their transactions were recorded."""
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[1:]
