"""Health: what the service says about itself, kept true by asking its dependencies."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from grpc_health.v1 import health, health_pb2

from serving import tasks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["Dependency", "HealthMonitor", "Role"]

_log = structlog.get_logger()


@dataclass(frozen=True)
class Dependency:
    """A part the service stands on.

    `check` returns when the part answers and raises when it does not. Without a `required` one no
    service is SERVING; another only has its own health name, so that operators see it.
    """

    name: str
    check: Callable[[], Awaitable[None]]
    required: bool = True


@dataclass(frozen=True)
class Role:
    """What this process may be among its like, such as the one that is active. It is well without it."""

    name: str
    is_held: Callable[[], bool]


class HealthMonitor:
    """Keeps the statuses of grpc.health.v1 true.

    The names are "" (overall), each of `services`, which are SERVING while every required dependency
    answers, each dependency's own name, and each role's, SERVING while it is held. All are NOT_SERVING until
    the first answers are in and from `shut_down` on. Dependencies are asked every `interval` seconds; one
    that takes more than `timeout` seconds has failed.
    """

    def __init__(
        self,
        services: Sequence[str],
        dependencies: Sequence[Dependency],
        roles: Sequence[Role] = (),
        *,
        interval: float = 1.0,
        timeout: float = 1.0,
    ) -> None:
        self.servicer = health.aio.HealthServicer()
        self._services = ("", *services)
        self._dependencies = dependencies
        self._roles = roles
        self._held: dict[str, bool] = {}
        self._interval = interval
        self._timeout = timeout
        self._answering: dict[str, bool] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Report NOT_SERVING and begin to ask."""
        dependencies = (dependency.name for dependency in self._dependencies)
        for name in (*self._services, *dependencies, *(role.name for role in self._roles)):
            await self.servicer.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        self._task = tasks.start(self._watch(), "health")

    async def shut_down(self) -> None:
        """Stop asking and report NOT_SERVING for good."""
        if self._task is not None:
            await tasks.end(self._task)
        await self.servicer.enter_graceful_shutdown()

    async def _watch(self) -> None:
        while True:
            answers = await asyncio.gather(*(self._ask(dependency) for dependency in self._dependencies))
            serving = True
            for dependency, answering in zip(self._dependencies, answers, strict=True):
                await self._set(dependency.name, serving=answering)
                serving = serving and (answering or not dependency.required)
            # Before the services: who sees these serve knows the role too.
            for role in self._roles:
                await self._set(role.name, serving=self._holds(role))
            for service in self._services:
                await self._set(service, serving=serving)
            await asyncio.sleep(self._interval)

    async def _ask(self, dependency: Dependency) -> bool:
        cause: Exception | None = None
        try:
            async with asyncio.timeout(self._timeout):
                await dependency.check()
        except Exception as error:  # noqa: BLE001 - whatever it is, the dependency does not answer
            cause = error
        answering = cause is None
        if self._answering.get(dependency.name) is not answering:
            self._answering[dependency.name] = answering
            if answering:
                _log.info("dependency answers", dependency=dependency.name)
            else:
                _log.warning("dependency does not answer", dependency=dependency.name, cause=repr(cause))
        return answering

    def _holds(self, role: Role) -> bool:
        held = role.is_held()
        if self._held.get(role.name) is not held:
            self._held[role.name] = held
            _log.info("role taken" if held else "role not held", role=role.name)
        return held

    async def _set(self, name: str, *, serving: bool) -> None:
        response = health_pb2.HealthCheckResponse
        await self.servicer.set(name, response.SERVING if serving else response.NOT_SERVING)
