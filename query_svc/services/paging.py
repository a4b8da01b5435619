"""Pages of lists: in order, filtered, and bounded in rows, in bytes and in work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

from google.protobuf.message import Message

from query_svc import page_tokens
from query_svc.read_model import Span
from query_svc.sources import Source

DEFAULT_PAGE_SIZE = 100
# A message is at most 4 MiB.
MAX_PAGE_BYTES = 3 * 1024 * 1024
# Rows read at once.
MIN_CHUNK, MAX_CHUNK = 50, 500
# Rows looked at for one page: a filter that little matches costs no more.
MAX_SCANNED = 2000

M = TypeVar("M", bound=Message)
M_co = TypeVar("M_co", bound=Message, covariant=True)


class PageRequest(Protocol):
    """What every request for a page says."""

    page_size: int
    page_token: str


class Part(Protocol[M_co]):
    """A list, or a part of one that comes before the others."""

    async def rows(self, after: str, count: int) -> tuple[Sequence[tuple[str, M_co | None]], bool]:
        """Return about `count` rows after a place, "" for the beginning, and whether there are more.

        Places are texts of at most page_tokens.MAX_TEXT_BYTES, and stand in the order of the list.
        """
        ...


@dataclass(frozen=True, slots=True)
class Indexed(Generic[M]):
    """The rows that a span of an index names: `read` returns those of some tails, in their order."""

    source: Source
    span: Span
    read: Callable[[list[str]], Awaitable[Sequence[M | None]]]
    descending: bool = False

    async def rows(self, after: str, count: int) -> tuple[list[tuple[str, M | None]], bool]:
        """Return the next rows."""
        tails = await self.source.tails(
            self.span, after=after or None, count=count, descending=self.descending
        )
        return list(zip(tails, await self.read(tails), strict=True)), len(tails) == count


async def page_of(
    parts: Sequence[Part[M]], matches: Callable[[M], bool], request: PageRequest
) -> tuple[list[M], str]:
    """Return a page of what matches in the parts, one after the other, and the token of the next page.

    The token is empty when there is none. A page goes on after a place, not after a number of rows: what
    comes and goes meanwhile shifts nothing. Raises CallError INVALID_PAGE_TOKEN.
    """
    question = cast("Message", request)
    number, after = _begin(request, question, len(parts))
    page: list[M] = []
    size, free, scanned = request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_BYTES, 0
    while number < len(parts):
        if scanned >= MAX_SCANNED:
            return page, page_tokens.encode((number, after), question)
        count = max(MIN_CHUNK, min(size - len(page) + 1, MAX_CHUNK))
        rows, more = await parts[number].rows(after, count)
        for place, row in rows:
            if row is not None and matches(row):
                free -= row.ByteSize()
                if len(page) == size or (page and free < 0):
                    return page, page_tokens.encode((number, after), question)
                page.append(row)
            after = place
        scanned += len(rows)
        if not more:
            number, after = number + 1, ""
    return page, ""


def _begin(request: PageRequest, question: Message, parts: int) -> tuple[int, str]:
    """Return the part and the place after which the page begins, "" for its beginning."""
    if not request.page_token:
        return 0, ""
    position: Any = page_tokens.decode(request.page_token, question, (int, str))
    number, after = position
    if not 0 <= number < parts:
        raise page_tokens.invalid(request.page_token)
    return number, after
