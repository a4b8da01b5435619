"""What happens around every call: who calls, its deadline, its errors, its log entry, how many run."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterable
from contextlib import aclosing, suppress
from contextvars import ContextVar
from math import inf
from time import monotonic, time
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import grpc
import structlog

from inventory.type.v1 import error_reason_pb2
from serving.access import PROBED
from serving.audit import entry_of, keep_with
from serving.errors import CallError, abort, unavailable
from serving.identity import Caller, admit, authorize, handle_for, unauthenticated
from serving.origin import Origin, come_from, origin_of
from serving.unreadable import UNREADABLE, readable, reading
from serving.wrapping import Behaviour, Kind, Reader, WrappingInterceptor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping

    from google.protobuf.message import Message
    from structlog.typing import FilteringBoundLogger

    from serving.audit import Recorder
    from serving.guard import Guard

    Context = grpc.aio.ServicerContext[Any, Any]
    UnaryBehaviour = Callable[[Any, Context], Awaitable[Any]]
    StreamBehaviour = Callable[[AsyncIterator[Any], Context], AsyncGenerator[Any, None]]

__all__ = ["CallInterceptor", "CallLimits", "remaining"]

# Our own services; health and reflection answer however busy those are.
OWN_METHODS = "/inventory."
FIRST_MESSAGE_SECONDS = 5.0
WORKING_SHARE = 0.95
"""How much of its time a call may work: the rest is for the answer, and why there is none."""

_deadline: ContextVar[float] = ContextVar("deadline")


def remaining() -> float:
    """Return the seconds that the call being handled has left for its work, 0 when none.

    Raises LookupError outside a call, and in a stream whose caller set no deadline.
    """
    return max(0.0, _deadline.get() - monotonic())


class CallLimits(NamedTuple):
    """Bounds of every call, in seconds, and of how many run at once in this process."""

    default_deadline: float
    max_deadline: float
    max_concurrent: int


class CallInterceptor(WrappingInterceptor):
    """Lets in who may call, answers errors with their full status and keeps calls within their limits.

    - The `guard` tells the caller, which the handler finds as `identity.caller()`; one that the method is not
      for is refused (see `identity.authorize`). A stream ends with UNAUTHENTICATED when the proof of its
      caller does.
    - A CallError becomes its status. An exception named in `dependencies` becomes
      DEPENDENCY_UNAVAILABLE of the part named there, or DEADLINE_EXCEEDED when it comes at the end of the
      call's time: the part was given up. Any other exception is logged under a new error id,
      and the caller learns that id alone.
    - A call gets the caller's deadline, at most `max_deadline`, or else `default_deadline`; when it has
      passed the handler is cancelled and the call ends with DEADLINE_EXCEEDED. What it waits for it gives up
      somewhat earlier (see `remaining`), so that its caller learns why.
    - A request that is no message of its method is INVALID_FIELD, to those alone who may call that.
    - Every call that is refused leaves an entry with the `recorder`; so does every one of the methods
      `audited` that is answered, and those are refused while the recorder has no room.
    - Beyond `max_concurrent` calls in progress, one more is refused with QUEUE_FULL.
    - A stream has its caller's deadline alone: without one it lasts until it is cut, at the latest when
      its connection comes of age, or until `end_streams`.

    - A stream of responses alone waits more than it works: it is not counted, its service bounds those.

    Health passes untouched; reflection is for its callers alone, and not counted. Handlers are coroutines or,
    of streams, asynchronous generators; none takes a stream of requests alone.
    """

    def __init__(
        self,
        limits: CallLimits,
        dependencies: Mapping[type[Exception], str],
        guard: Guard,
        recorder: Recorder,
        audited: Collection[str] = (),
    ) -> None:
        super().__init__()
        self._limits = limits
        self._guard = guard
        self._recorder = recorder
        self._audited = frozenset(audited)
        self._dependencies = dict(dependencies)
        self._running = 0
        self._streams: set[asyncio.Timeout] = set()
        self._stopping = False
        self._log: FilteringBoundLogger = structlog.get_logger().bind()
        self._logs_calls = self._log.is_enabled_for(logging.DEBUG)

    def around(self, method: str, kind: Kind, behaviour: Behaviour) -> Behaviour:
        """Return the behaviour with the rules of this class around it."""
        if method.startswith(PROBED):
            return behaviour
        match kind:
            case "unary_unary":
                return self._around_call(method, behaviour)
            case "unary_stream":
                return self._around_stream(method, behaviour, counted=False)
            case "stream_stream":
                return self._around_stream(method, behaviour, counted=method.startswith(OWN_METHODS))
            case "stream_unary":  # no contract of ours has one, and none is served unguarded
                raise TypeError(f"{method} takes a stream of requests alone")

    def reader(self, method: str, deserialize: Reader) -> Reader:
        """Return what reads requests, so that what is none is refused after its caller is known."""
        return deserialize if method.startswith(PROBED) or deserialize is None else reading(deserialize)

    def end_streams(self) -> None:
        """End the streams in progress with DEPENDENCY_UNAVAILABLE; to be called once, at shutdown."""
        self._stopping = True
        now = asyncio.get_running_loop().time()
        for stream in self._streams:
            stream.reschedule(now)

    def _around_call(self, method: str, behaviour: UnaryBehaviour) -> UnaryBehaviour:
        default, cap, max_concurrent = self._limits

        async def call(request: object, context: Context) -> object:
            started = monotonic()  # the loop's own clock stands still within a turn of uvloop's
            # None when the caller set no deadline, whatever the annotation says.
            asked = cast("float | None", context.time_remaining())
            seconds = default if asked is None else min(asked, cap)
            # Each call runs in its own task, so in its own context.
            _deadline.set(started + WORKING_SHARE * seconds)
            come_from(lambda: _origin(context))
            keep_with(self._recorder)
            if self._running >= max_concurrent:
                await self._answer(method, started, context, _queue_full(), request)
            self._running += 1
            try:
                who = await self._who(context)
                handle_for(who)
                _authorize(who, method, request)
                self._hold_to_account(method)
                if asked is not None and asked <= cap:
                    # gRPC cancels the handler at the caller's own deadline: a second timer would cost
                    # 8 us, four times the rest of this function.
                    response = await behaviour(request, context)
                else:
                    response = await _within(started + seconds - monotonic(), behaviour(request, context))
            except asyncio.CancelledError:
                self._log.info("call cancelled", method=method, seconds=round(monotonic() - started, 6))
                raise
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - this is where every error gets its answer
                await self._answer(method, started, context, self._refusal(error, method), request)
            finally:
                self._running -= 1
            if method in self._audited:
                self._recorder.record(entry_of(method, None, request))
            if self._logs_calls:
                self._log.debug("call", method=method, code="OK", seconds=round(monotonic() - started, 6))
            return response

        return call

    def _around_stream(
        self, method: str, behaviour: StreamBehaviour, *, counted: bool = True
    ) -> Callable[[AsyncIterator[Any], Context], Awaitable[None]]:
        async def call(requests: AsyncIterator[Any], context: Context) -> None:
            started = monotonic()
            asked = cast("float | None", context.time_remaining())
            if asked is not None:  # gRPC keeps it
                _deadline.set(started + WORKING_SHARE * asked)
            come_from(lambda: _origin(context))
            keep_with(self._recorder)
            if counted and self._running >= self._limits.max_concurrent:
                await self._answer(method, started, context, _queue_full())
            self._running += counted
            ending = asyncio.timeout(None)
            responses = 0
            try:
                try:
                    who = await self._who(context)
                    handle_for(who)
                    admit(who, method)  # what its messages ask, their service authorizes
                except CallError:
                    await _first(requests)
                    raise
                requests = readable(requests)
                self._hold_to_account(method)
                ending = _until(who.expires)
                # The responses are written here, so that whatever ends the call ends the generator too.
                async with ending, aclosing(behaviour(requests, context)) as answers:
                    self._streams.add(ending)
                    try:
                        async for answer in answers:
                            await context.write(answer)
                            responses += 1
                    finally:  # what has ended cannot be ended again
                        self._streams.discard(ending)
            except asyncio.CancelledError:
                seconds = round(monotonic() - started, 6)
                self._log.info("stream cut", method=method, responses=responses, seconds=seconds)
                raise
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - this is where every error gets its answer
                refusal = self._ended() if ending.expired() else self._refusal(error, method)
                await self._answer(method, started, context, refusal)
            finally:
                self._running -= counted
            seconds = round(monotonic() - started, 6)
            if method in self._audited:
                self._recorder.record(entry_of(method, None))
            # Or was cut: a caller that goes away may look like one that has no more to send.
            self._log.info("stream ended", method=method, responses=responses, seconds=seconds)

        return call

    async def _who(self, context: Context) -> Caller:
        metadata = context.invocation_metadata() or ()
        return self._guard.recognize(metadata) or await self._guard.identify(metadata)

    def _hold_to_account(self, method: str) -> None:
        """Raise CallError if what the method does must leave an entry, and there is no room for one."""
        if method in self._audited and not self._recorder.has_room:
            raise unavailable("audit log")

    def _ended(self) -> CallError:
        """Return why a stream was ended: the server stops, or the proof of its caller is good no longer."""
        return _stopping() if self._stopping else unauthenticated("expired", "the token has expired")

    def _refusal(self, error: Exception, method: str) -> CallError:
        if isinstance(error, CallError):
            return error
        for kind, dependency in self._dependencies.items():
            if isinstance(error, kind):
                if monotonic() >= _deadline.get(inf):  # it was given up, and may be well
                    return _late()
                self._log.error("dependency failed", dependency=dependency, method=method, cause=repr(error))
                return unavailable(dependency)
        error_id = str(uuid.uuid4())
        self._log.error("call failed", method=method, error_id=error_id, exc_info=error)
        return CallError(
            error_reason_pb2.ERROR_REASON_INTERNAL,
            f"internal error {error_id}",
            metadata={"error_id": error_id},
        )

    async def _answer(
        self, method: str, started: float, context: Context, error: CallError, request: object = None
    ) -> None:
        """Abort the call with the error's status: raises AbortError."""
        self._recorder.record(entry_of(method, error, request))
        seconds = monotonic() - started
        self._log.info(
            "call refused",
            method=method,
            code=error.code.name,
            reason=error.reason_name,
            seconds=round(seconds, 6),
        )
        await abort(context, error)


def _origin(context: Context) -> Origin:
    return origin_of(context.invocation_metadata() or (), context.peer())


async def _first(requests: object) -> None:
    """Wait for the first message of a stream, a while at most; a single request is there.

    A client in Python that is still sending it when the call ends is not told why (grpc/grpc issue 36066).
    """
    if isinstance(requests, AsyncIterable):
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_MESSAGE_SECONDS):
                async for _ in requests:
                    break


def _authorize(who: Caller, method: str, request: object) -> None:
    """Raise CallError unless this caller may ask this, and it can be read."""
    if request is UNREADABLE:
        admit(who, method)
        readable(request)
    authorize(who, method, cast("Message", request))


def _queue_full() -> CallError:
    return CallError(
        error_reason_pb2.ERROR_REASON_QUEUE_FULL, "too many calls are in progress", retry_after=1.0
    )


def _late() -> CallError:
    return CallError(error_reason_pb2.ERROR_REASON_DEADLINE_EXCEEDED, "not answered in the time of the call")


def _stopping() -> CallError:
    return CallError(
        error_reason_pb2.ERROR_REASON_DEPENDENCY_UNAVAILABLE,
        "the server is stopping: go on in another stream",
        metadata={"dependency": "server"},
        retry_after=0.1,
    )


def _until(expires: float) -> asyncio.Timeout:
    """Return the timeout that ends at an instant, in seconds since 1970."""
    return asyncio.timeout(None if expires == inf else expires - time())


async def _within(seconds: float, answer: Awaitable[object]) -> object:
    """Return the answer, or cancel it and raise CallError DEADLINE_EXCEEDED after `seconds`."""
    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            return await answer
    except TimeoutError:
        if not timeout.expired():  # the handler's own
            raise
        raise _late() from None
