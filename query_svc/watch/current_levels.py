"""The levels of interest as they are, page after page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model import Feed, ReadModel, Span, bucket_of
from query_svc.watch.watchers import Interest
from serving.errors import unavailable

ITEMS = 50
LEVELS = 500
"""Read at once."""
PAUSE_SECONDS = 0.01
AGREEMENT_SECONDS = 5.0

T = TypeVar("T")


async def pages(
    view: ReadModel, feed: Feed, interest: Interest, reading: asyncio.Semaphore
) -> AsyncIterator[list[StockLevel]]:
    """Yield each level of interest once, as it was at some moment since; never older than its changes.

    `reading` bounds how many read at once.

    Levels that come meanwhile may be left out. Raises ReadModelUnavailableError, and CallError
    DEPENDENCY_UNAVAILABLE when rows stay behind their changes.
    """
    if interest.skus or not interest.location_ids:
        async for skus in _skus(view, interest):
            await _agreement(feed, skus)
            async with reading:
                items = await view.levels_of_items(skus)
            for found in items:
                of_interest = [one for one in found if interest.includes((one.sku, one.location_id))]
                for page in _pages(of_interest, LEVELS):
                    yield page
        return
    for location_id in sorted(interest.location_ids):
        span = Span("levels-by-location", prefix=f"{location_id}\0")
        async for skus in _walk(view, span, LEVELS):
            await _agreement(feed, skus)
            async with reading:
                there = await view.levels([(sku, location_id) for sku in skus])
            yield [one for one in there if one is not None]


async def _skus(view: ReadModel, interest: Interest) -> AsyncIterator[list[str]]:
    if interest.skus:
        for page in _pages(sorted(interest.skus), ITEMS):
            yield page
    else:
        async for page in _walk(view, Span("items-by-sku"), ITEMS):
            yield page


async def _walk(view: ReadModel, span: Span, count: int) -> AsyncIterator[list[str]]:
    after: str | None = None
    while page := await view.tails(span, after=after, count=count):
        yield page
        if len(page) < count:
            return
        after = page[-1]


async def _agreement(feed: Feed, skus: Iterable[str]) -> None:
    """Wait until no change of these items has been told that their rows do not show."""
    buckets = sorted({bucket_of(sku) for sku in skus})
    try:
        async with asyncio.timeout(AGREEMENT_SECONDS):
            while not await feed.agrees(buckets):  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(PAUSE_SECONDS)
    except TimeoutError:
        raise unavailable("read model") from None


def _pages(things: Sequence[T], size: int) -> Iterator[list[T]]:
    remaining = iter(things)
    while page := list(islice(remaining, size)):
        yield page
