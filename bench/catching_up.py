"""A burst of changes, and how long the view needs to show them all."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from bench import shop
from bench.load import Job, Load, Target
from bench.pipeline import Pipeline

CALLERS, SIZE = 8, 100
SECONDS = 1.0


@dataclass(frozen=True)
class CaughtUp:
    """A burst of so many changes, committed at `rate` a second.

    seconds: until all were shown; from the last commit, or from when the connector, which was paused
    meanwhile, was told to go on.
    """

    changes: int
    rate: float
    paused: bool
    seconds: float


async def caught_up(
    load: Load, pipeline: Pipeline, target: Target, changes: int, *, paused: bool
) -> CaughtUp:
    """Commit at least so many changes in batches; return when the view shows them."""
    if paused:
        await pipeline.pause()
    committed, seconds = 0, 0.0
    while committed < changes:
        name = f"bench.burst.{paused}.{committed}"
        job = Job(name, target, "BatchStock", shop.SKUS, CALLERS, SIZE, SECONDS, warm_up=0.0)
        answers = await asyncio.to_thread(load.run, job)
        if answers.errors:
            raise RuntimeError(f"the burst: {dict(answers.errors)}")
        committed, seconds = committed + answers.accepted, seconds + answers.seconds
    start = time.monotonic()
    await (pipeline.resume() if paused else pipeline.caught_up())
    return CaughtUp(committed, committed / seconds, paused, time.monotonic() - start)
