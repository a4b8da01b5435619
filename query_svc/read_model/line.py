"""The way to Redis: to one server, or in a cluster to the node that holds what a command is about."""

import asyncio
import random
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError, TryAgainError

from query_svc.read_model.connection import ClusterRedis
from query_svc.read_model.errors import ReadModelError, ReadModelUnavailableError, translated
from query_svc.read_model.server import Command, Server
from query_svc.read_model.slots import Node, nodes_of, slot_of

__all__ = ["Command", "Line"]

# How often a command follows its slot to another node before it is given up.
REDIRECTIONS = 5
PAUSE_SECONDS = 0.05


class Line:
    """Sends commands where they belong, and returns their answers in the order in which they were given.

    A ClusterRedis is a cluster, anything else a server alone. A node is reached by one connection, as
    `Server` keeps it; which node holds a slot is learnt from the cluster, and learnt anew when a node sends a
    command elsewhere or does not answer. `timeout`, in seconds, is the longest wait for a node's answer.
    """

    def __init__(self, redis: Redis, timeout: float) -> None:
        self._pool = redis.connection_pool
        self._timeout = timeout
        self._first = Server(self._pool, timeout)
        self._alone = not isinstance(redis, ClusterRedis)
        # Those that were ever asked; in a cluster they are few, and who left may come back.
        self._nodes: dict[Node, Server] = {}
        if isinstance(redis, ClusterRedis):
            self._nodes |= {node: self._server(node) for node in redis.others}
        self._slots: list[Node | None] = []
        self._stale = True
        self._learning = asyncio.Lock()

    @property
    def losses(self) -> int:
        """How many connections have broken. While that stays the same, no server has been another one."""
        return self._first.losses + sum(node.losses for node in self._nodes.values())

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers to the commands, which are sent in one go to each node and all carried out.

        Raise ReadModelUnavailableError when a node does not answer in time, and ResponseError with the first
        refusal among the answers.
        """
        answers = await (self._first.ask(commands) if self._alone else self._routed(commands))
        with translated():
            for answer in answers:
                if isinstance(answer, ResponseError):
                    raise answer
        return answers

    async def servers(self) -> list[Server]:
        """Return the server, or every node of the cluster that has slots, for what is asked of each."""
        if self._alone:
            return [self._first]
        self._stale = True  # whoever asks a node itself is sent nowhere else
        await self._learn()
        return [self._server(node) for node in dict.fromkeys(self._slots) if node is not None]

    async def answering(self) -> Server:
        """Return a server that answers, for what any of a cluster will do.

        Raise ReadModelUnavailableError when none does.
        """
        cause: ReadModelUnavailableError | None = None
        for server in await self.servers():
            try:
                await server.ask([("PING",)])
            except ReadModelUnavailableError as error:
                cause = error
            else:
                return server
        raise ReadModelUnavailableError(f"no node answers: {cause}") from cause

    async def close(self) -> None:
        """Close every connection, and fail whoever still waits on one."""
        for server in (self._first, *self._nodes.values()):
            await server.close()

    async def _routed(self, commands: Sequence[Command]) -> list[Any]:
        answers: list[Any] = [None] * len(commands)
        waiting = list(range(len(commands)))
        for _ in range(REDIRECTIONS):
            if self._stale:
                await self._learn()
            for index, answer in zip(waiting, await self._sent([commands[i] for i in waiting]), strict=True):
                answers[index] = answer
            waiting = [index for index in waiting if isinstance(answers[index], _ELSEWHERE)]
            for index in waiting:
                answers[index] = await self._followed(answers[index], commands[index])
            waiting = [index for index in waiting if isinstance(answers[index], _ELSEWHERE)]
            if not waiting:
                return answers
            await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.5, 1))  # noqa: S311 - jitter
        raise ReadModelUnavailableError(f"the cluster is being changed: {answers[waiting[0]]}")

    async def _followed(self, refusal: ResponseError, command: Command) -> object:
        """Return the answer of the node that a slot is just moving to; the refusal if it moves nowhere."""
        if isinstance(refusal, AskError) and not isinstance(refusal, MovedError):
            asked = self._server(Node(refusal.host, refusal.port))
            return (await asked.ask([("ASKING",), command]))[1]
        self._stale = True
        return refusal

    async def _sent(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers of the nodes that hold the slots, as far as is known."""
        slots = [slot_of(command) for command in commands]
        nodes = [self._slots[slot if slot is not None else 0] for slot in slots]
        order = sorted(range(len(commands)), key=lambda index: nodes[index] or _NOWHERE)
        groups = [(node, list(indexes)) for node, indexes in groupby(order, key=lambda index: nodes[index])]
        answers: list[Any] = [None] * len(commands)

        async def one(node: Node | None, indexes: list[int]) -> None:
            if node is None:
                found: list[Any] = [ClusterDownError("no node has the slot")] * len(indexes)
            else:
                found = await self._server(node).ask([commands[index] for index in indexes])
            for index, answer in zip(indexes, found, strict=True):
                answers[index] = answer

        outcomes = await asyncio.gather(*(one(*group) for group in groups), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                self._stale = True
                raise outcome
        return answers

    async def _learn(self) -> None:
        """Ask which node holds which slots."""
        try:
            async with asyncio.timeout(self._timeout), self._learning:
                if self._stale:
                    self._take(await self._told(("CLUSTER", "SLOTS")))
        except TimeoutError as error:
            raise ReadModelUnavailableError(f"no node answers within {self._timeout} s") from error

    def _take(self, answer: Any) -> None:  # noqa: ANN401 - what Redis says
        if isinstance(answer, ResponseError):
            raise ReadModelError(f"Redis is no cluster: {answer}") from answer
        self._slots = nodes_of(answer, self._pool.connection_kwargs["host"])
        self._stale = False

    async def _told(self, command: Command) -> object:
        """Return what the first of the known servers to answer says."""
        servers = (self._first, *self._nodes.values())
        pending = {asyncio.create_task(server.ask([command])) for server in servers}
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                causes = [task.exception() for task in done]
                for task, cause in zip(done, causes, strict=True):
                    if cause is None:
                        return task.result()[0]
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)  # nobody hears their answers any more
        raise ReadModelUnavailableError(f"no node answers: {causes[-1]}") from causes[-1]

    def _server(self, node: Node) -> Server:
        if node not in self._nodes:
            settings = self._pool.connection_kwargs | {"host": node.host, "port": node.port}
            pool = ConnectionPool(connection_class=self._pool.connection_class, **settings)
            self._nodes[node] = Server(pool, self._timeout)
        return self._nodes[node]


_ELSEWHERE = (AskError, TryAgainError)  # MovedError is an AskError
_NOWHERE = Node("", 0)
