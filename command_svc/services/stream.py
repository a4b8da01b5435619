"""StreamStock: the commands of many messages, read ahead within bounds and answered in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from command_svc.batcher import Batcher
from command_svc.domain.batch import Request, Submission, Verdict
from command_svc.mapping.stock import message_in, result, token_of
from command_svc.services.lane import Members, carry_out, members_of, newest
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.type.v1 import error_reason_pb2
from serving.errors import CallError
from serving.identity import Caller

AHEAD_COMMANDS = 1000
AHEAD_BYTES = 4 * 1024 * 1024
"""What one stream reads ahead, while as much again is being carried out; or a single message, if larger."""
QUEUE_PAUSE = 0.05
"""Seconds between two tries to join a queue that is full."""


async def answers(
    batcher: Batcher, messages: AsyncIterator[pb.StreamStockRequest], who: Caller
) -> AsyncGenerator[pb.StreamStockResponse, None]:
    """Carry the messages out in their order and yield the response to each.

    What has been read while one transaction was under way is the next one, so that nothing of a stream is
    tried while anything before it may still fail. No more is read while nobody takes the responses.
    Raises CallError at what cannot be carried out; everything before that has been answered.
    """
    ahead = _Ahead()
    reading = asyncio.create_task(ahead.read(messages, who), name="stream")
    try:
        while taken := await ahead.take():
            for response in await _carry_out(batcher, taken):
                yield response
        await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Read:
    """A message that has been read, and its commands."""

    message: pb.StreamStockRequest
    members: Members

    @property
    def size(self) -> int:
        return self.message.ByteSize()


@dataclass(slots=True)
class _Ahead:
    """What has been read and not been taken yet."""

    _waiting: deque[_Read] = field(default_factory=deque)
    _commands: int = 0
    _bytes: int = 0
    _ended: bool = False
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def read(self, messages: AsyncIterator[pb.StreamStockRequest], who: Caller) -> None:
        """Read to the end, or to a message that breaks a rule, at which CallError is raised."""
        try:
            async for message in messages:
                await self._put(_Read(message, members_of(message, who, message_in)))
        finally:
            async with self._changed:
                self._ended = True
                self._changed.notify_all()

    async def _put(self, read: _Read) -> None:
        commands, size = len(read.message.commands), read.size
        async with self._changed:
            await self._changed.wait_for(
                lambda: (
                    not self._waiting
                    or (self._commands + commands <= AHEAD_COMMANDS and self._bytes + size <= AHEAD_BYTES)
                )
            )
            self._waiting.append(read)
            self._commands += commands
            self._bytes += size
            self._changed.notify_all()

    async def take(self) -> list[_Read]:
        """Wait for messages and return those that one transaction can carry out; none at the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting or self._ended)
            taken: list[_Read] = []
            while self._waiting and (not taken or _alike(taken[0], self._waiting[0])):
                read = self._waiting.popleft()
                self._commands -= len(read.message.commands)
                self._bytes -= read.size
                taken.append(read)
            self._changed.notify_all()
            return taken


def _alike(one: _Read, other: _Read) -> bool:
    return one.message.validate_only == other.message.validate_only


async def _carry_out(batcher: Batcher, taken: Sequence[_Read]) -> list[pb.StreamStockResponse]:
    requests = tuple(request for read in taken for request in read.members.requests.values())
    verdicts = iter(await _verdicts(batcher, requests, validate_only=taken[0].message.validate_only))
    return [_response(read, list(islice(verdicts, len(read.members.requests)))) for read in taken]


async def _verdicts(batcher: Batcher, requests: tuple[Request, ...], *, validate_only: bool) -> list[Verdict]:
    """Return the verdicts, however long it takes until the lane has room: meanwhile the caller waits."""
    while requests:
        try:
            return await carry_out(batcher, Submission(requests, validate_only=validate_only))
        except CallError as error:
            if error.reason != error_reason_pb2.ERROR_REASON_QUEUE_FULL:
                raise
        await asyncio.sleep(QUEUE_PAUSE)
    return []


def _response(read: _Read, verdicts: list[Verdict]) -> pb.StreamStockResponse:
    answered = zip(read.message.commands, read.members.settle(verdicts), strict=True)
    results = [result(command, answer) for command, answer in answered]
    return pb.StreamStockResponse(
        request_id=read.members.request_id,
        consistency_token=newest(map(token_of, results)),
        sequence=read.message.sequence,
        results=results,
    )
