"""Lists, page after page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Protocol, Self, TypeVar

__all__ = ["blocking_pages", "pages"]


class _ListRequest(Protocol):
    """A request for a page, which can be copied."""

    page_token: str

    def CopyFrom(self, other: Self, /) -> None:  # noqa: N802 - protobuf's name
        ...


class _Page(Protocol):
    """A page of a list."""

    @property
    def next_page_token(self) -> str:
        """Where the next one begins; empty for the last."""


Request = TypeVar("Request", bound=_ListRequest)
Page = TypeVar("Page", bound=_Page)


async def pages(method: Callable[[Request], Awaitable[Page]], request: Request) -> AsyncGenerator[Page, None]:
    """Yield the pages of a list from where the request begins, such as `pages(client.list_items, request)`.

    Each is a call of its own, with the client's deadline; raises as the method does.
    """
    asked = _copy(request)
    while True:
        page = await method(asked)
        yield page
        if not page.next_page_token:
            return
        asked.page_token = page.next_page_token


def blocking_pages(method: Callable[[Request], Page], request: Request) -> Generator[Page, None, None]:
    """Yield the pages of a list as `pages` does, of a BlockingClient."""
    asked = _copy(request)
    while True:
        page = method(asked)
        yield page
        if not page.next_page_token:
            return
        asked.page_token = page.next_page_token


def _copy(request: Request) -> Request:
    asked = type(request)()
    asked.CopyFrom(request)
    return asked
