"""Pages of lists: in order, filtered, and bounded in rows, in bytes and in work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from google.protobuf.message import Message

from query_svc import page_tokens
from query_svc.read_model import ReadModel, Span

DEFAULT_PAGE_SIZE = 100
# A message is at most 4 MiB.
MAX_PAGE_BYTES = 3 * 1024 * 1024
# Rows read at once.
MIN_CHUNK, MAX_CHUNK = 50, 500
# Rows looked at for one page: a filter that little matches costs no more.
MAX_SCANNED = 2000

M = TypeVar("M", bound=Message)


class PageRequest(Protocol):
    """What every request for a page says."""

    page_size: int
    page_token: str


@dataclass(frozen=True, slots=True)
class Listing(Generic[M]):
    """What a list is made of: the rows of the spans, one span after the other, that match.

    `read` returns the rows of some tails of a span, in their order, None for what is not there. A page goes
    on after a place, not after a number of rows: what comes and goes meanwhile shifts nothing.
    """

    spans: Sequence[Span]
    read: Callable[[Span, list[str]], Awaitable[Sequence[M | None]]]
    matches: Callable[[M], bool]
    descending: bool = False


async def page_of(listing: Listing[M], view: ReadModel, request: PageRequest) -> tuple[list[M], str]:
    """Return a page and the token of the next one, which is empty when there is none.

    Raises CallError INVALID_PAGE_TOKEN.
    """
    question = cast("Message", request)
    number, after = _begin(request, question, len(listing.spans))
    page: list[M] = []
    size, free, scanned = request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_BYTES, 0
    while number < len(listing.spans):
        if scanned >= MAX_SCANNED:
            return page, page_tokens.encode((number, after), question)
        span = listing.spans[number]
        count = max(MIN_CHUNK, min(size - len(page) + 1, MAX_CHUNK))
        tails = await view.tails(span, after=after or None, count=count, descending=listing.descending)
        for tail, row in zip(tails, await listing.read(span, tails), strict=True):
            if row is not None and listing.matches(row):
                free -= row.ByteSize()
                if len(page) == size or (page and free < 0):
                    return page, page_tokens.encode((number, after), question)
                page.append(row)
            after = tail
        scanned += len(tails)
        if len(tails) < count:
            number, after = number + 1, ""
    return page, ""


def _begin(request: PageRequest, question: Message, spans: int) -> tuple[int, str]:
    """Return the span and the tail after which the page begins, "" for its beginning."""
    if not request.page_token:
        return 0, ""
    position: Any = page_tokens.decode(request.page_token, question, (int, str))
    number, after = position
    if not 0 <= number < spans:
        raise page_tokens.invalid(request.page_token)
    return number, after
