"""What holds connections to Redis, and is closed by whoever has it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Owned(ABC):
    """Is closed at the end of its use: an asynchronous context manager, or by `close`."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection, and fail whoever still waits on one."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
