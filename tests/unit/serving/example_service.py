"""A service as an operator runs it, for the tests of signals and workers.

`python -m tests.unit.serving.example_service` with INVENTORY_EXAMPLE_… set. With BREAK_… it fails.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from serving import logs, server, tasks, workers
from serving.server import GrpcServer
from serving.settings import ServerSettings, load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class ExampleSettings(ServerSettings):
    """Settings of the example."""

    model_config = SettingsConfigDict(env_prefix="INVENTORY_EXAMPLE_")

    break_at_start: bool = Field(default=False, description="fail at start, as a wrong build would")
    break_beside: bool = Field(default=False, description="fail in a task beside the calls, once it serves")


async def beside(*, breaks: bool) -> None:
    """Do what goes on beside the calls, for a while at least."""
    await asyncio.sleep(0.2)
    if breaks:
        raise LookupError("nobody expects this")
    await asyncio.Event().wait()


def main() -> None:
    """Serve health and reflection alone."""
    settings = load(ExampleSettings)
    logs.configure(settings.log_level, f"example of {os.getpid()}")

    @asynccontextmanager
    async def assemble() -> AsyncIterator[GrpcServer]:
        if settings.break_at_start:
            raise RuntimeError("broken")
        async with tasks.running(beside(breaks=settings.break_beside), "beside"):
            yield GrpcServer(settings, [], dependencies=[], unavailable={})

    workers.run(settings, lambda: server.run(assemble))


if __name__ == "__main__":
    main()
