"""A service as an operator runs it, for the tests of signals and workers.

`python -m tests.unit.serving.example_service` with INVENTORY_EXAMPLE_… set. With BREAK it fails at start.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from serving import logs, server, workers
from serving.server import GrpcServer
from serving.settings import ServerSettings, load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class ExampleSettings(ServerSettings):
    """Settings of the example."""

    model_config = SettingsConfigDict(env_prefix="INVENTORY_EXAMPLE_")

    break_at_start: bool = Field(default=False, description="fail at start, as a wrong build would")


def main() -> None:
    """Serve health and reflection alone."""
    settings = load(ExampleSettings)
    logs.configure(settings.log_level, f"example of {os.getpid()}")

    @asynccontextmanager
    async def assemble() -> AsyncIterator[GrpcServer]:
        if settings.break_at_start:
            raise RuntimeError("broken")
        yield GrpcServer(settings, [], dependencies=[], unavailable={})

    workers.run(settings, lambda: server.run(assemble))


if __name__ == "__main__":
    main()
