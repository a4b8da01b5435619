"""Structured logs: one JSON object a line on stderr, for structlog and stdlib logging alike.

Secrets, and what names a person, are masked in every entry, whoever wrote it.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

__all__ = ["configure", "masked"]

MASK = "***"
# Values that are secret or tell of a person whatever they hold, by the names they go by.
_SECRET = re.compile(
    r"authorization|cookie|password|secret|token|email|phone|(?:given|family|full)_?name", re.IGNORECASE
)
# These are named so and are none.
_HARMLESS = frozenset({"consistency_token", "page_token", "next_page_token"})
_TEXT = re.compile(
    r"(?P<scheme>\b(?:bearer|basic)\s+)[\w.~+/=-]+"  # credentials in a header
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JSON Web Token
    r"|(?P<user>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@]+(?=@)"  # a password in a URL
    r"|[\w.%+-]+@[\w-]+(?:\.[\w-]+)+",  # an e-mail address
    re.IGNORECASE,
)
MOST_DEEP = 8


def masked(value: object, name: str = "", depth: int = 0) -> object:
    """Return a value of a log entry without what is secret or names a person."""
    if name and value and _SECRET.search(name) and name not in _HARMLESS:
        return MASK
    if isinstance(value, str):
        return _TEXT.sub(_mask, value) if "@" in value or " " in value or "." in value else value
    if depth >= MOST_DEEP or value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {key: masked(inner, str(key), depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(inner, "", depth + 1) for inner in value]
    return masked(str(value), "", depth + 1)


def _mask(found: re.Match[str]) -> str:
    return (found["scheme"] or found["user"] or "") + MASK


def _without_persons(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: masked(value, key) for key, value in event.items()}


def configure(level: str, service: str) -> None:
    """Log from `level` ("debug" to "error") up; every entry names its UTC time, `service` and process."""

    def add_origin(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        event["pid"] = os.getpid()  # read each time: workers are forked after this is configured
        return event

    stream = cast("TextIO", _Lossy())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_origin,
        # Without locals: they may hold secrets.
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False, max_frames=20)),
    ]
    # Last of all, so that nothing comes after it that could tell more.
    renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, _without_persons, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_persons,
                renderer,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=threshold, force=True)


class _Lossy:
    """Standard error that never fails: where nobody reads it, an entry is lost and its call goes on."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()
