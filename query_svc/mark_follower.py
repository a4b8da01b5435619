"""Following what the view holds: the one reader of its marks in this process."""

from __future__ import annotations

import asyncio
import random

import structlog

from query_svc.progress import Progress
from query_svc.read_model import Marks, ReadModel, ReadModelUnavailableError

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0

log = structlog.get_logger()


class MarkFollower:
    """Keeps `progress` true to what `marks` say of `view`.

    What is known holds for one life of Redis: whenever a connection to it is lost, the marks' or the view's
    own, all is forgotten and read again.
    """

    def __init__(self, marks: Marks, view: ReadModel, progress: Progress) -> None:
        self._marks = marks
        self._view = view
        self._progress = progress
        self._losses = -1

    async def run(self) -> None:
        """Follow the marks, until cancelled."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._begin()
                while self.is_current:
                    for mark in await self._marks.read():
                        self._progress.take(mark)
                    pause = FIRST_PAUSE_SECONDS
            except Exception as error:  # whatever it is, the database answers until the marks are read again
                if pause == FIRST_PAUSE_SECONDS:
                    known = isinstance(error, ReadModelUnavailableError)
                    log.warning("the view is out of sight", cause=repr(error), exc_info=not known)
                self._progress.forget()
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter, no secret
                pause = min(LONGEST_PAUSE_SECONDS, 2 * pause)
            finally:
                self._progress.forget()

    @property
    def is_current(self) -> bool:
        """Whether the view is still the one of which the progress is known."""
        return self._losses == self._view.losses

    async def look(self) -> None:
        """Take the newest mark now, ahead of its turn. Raise ReadModelUnavailableError."""
        mark = await self._view.newest_mark()
        if mark is not None and self.is_current:
            self._progress.take(mark)

    async def _begin(self) -> None:
        await self._view.ping()
        self._losses = self._view.losses
        self._marks.rewind()
