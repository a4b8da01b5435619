"""What the audit log is told of calls beside committed commands: above all, that they were refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple, Protocol, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from serving.errors import CallError
from serving.identity import known_caller
from serving.origin import origin

__all__ = ["ACCEPTED", "Entry", "Names", "Nowhere", "Recorder", "entry_of", "keep_with", "names_in", "note"]

ACCEPTED = "OK"
MOST_NAMES = 100
MOST_CHARACTERS = 128
_SKUS = frozenset({"sku", "skus", "parent_sku"})
_LOCATIONS = frozenset({"location_id", "location_ids", "source_location_id", "destination_location_id"})

Path = tuple[str, ...]


class Entry(NamedTuple):
    """An entry of the audit log. `verdict` is ACCEPTED or the reason of the refusal.

    `calls` is how many calls it stands for.
    """

    record_time: datetime
    method: str
    verdict: str
    actor: str = ""
    proof: str = "none"
    source: str = ""
    request_id: str = ""
    trace_id: str = ""
    skus: tuple[str, ...] = ()
    location_ids: tuple[str, ...] = ()
    calls: int = 1


class Recorder(Protocol):
    """Takes entries for the audit log; see `audit.writer.AuditWriter`."""

    def record(self, entry: Entry) -> None:
        """Take an entry; one that there is no room for is counted. Never waits, never raises."""

    @property
    def has_room(self) -> bool:
        """Whether one more entry would be taken."""


class Nowhere:
    """Keeps no entries: for servers that have no audit log."""

    has_room = True

    def record(self, entry: Entry) -> None:
        """Take it, and forget it."""


_recorder: ContextVar[Recorder] = ContextVar("recorder")


def keep_with(recorder: Recorder) -> None:
    """Let `note` give the entries of what the present task handles to `recorder`."""
    _recorder.set(recorder)


def note(entry: Entry) -> None:
    """Record an entry of what is being handled."""
    if (recorder := _recorder.get(None)) is not None:
        recorder.record(entry)


class Names(NamedTuple):
    """The items and locations that a message names."""

    skus: tuple[str, ...] = ()
    location_ids: tuple[str, ...] = ()


def names_in(message: Message) -> Names:
    """Return what a message names, each once, in the order of its fields; MOST_NAMES of each at most."""
    skus, location_ids = _paths(message.DESCRIPTOR)
    return Names(_all(message, skus), _all(message, location_ids))


def entry_of(method: str, error: CallError | None, request: object = None, request_id: str = "") -> Entry:
    """Return the entry for what the present task handles: refused with `error`, or accepted.

    `method` is the full path. `request` is the message where there is one; its request id counts unless one
    is given.
    """
    who = known_caller()
    source, trace_id = origin()
    named = request if isinstance(request, Message) else None
    skus, location_ids = Names() if named is None else names_in(named)
    return Entry(
        datetime.now(UTC),
        method[1:],
        ACCEPTED if error is None else error.reason_name,
        who.subject if who else "",
        who.proof if who else "none",
        source,
        (request_id or cast("str", getattr(named, "request_id", "")))[:MOST_CHARACTERS],
        trace_id,
        skus,
        location_ids,
    )


def _all(message: Message, paths: Iterable[Path]) -> tuple[str, ...]:
    if len(paths := tuple(paths)) == 1 and len(paths[0]) == 1:
        value = getattr(message, paths[0][0])
        if isinstance(value, str):  # as nearly all are
            return (value[:MOST_CHARACTERS],) if value else ()
    found = dict.fromkeys(value for path in paths for value in _values(message, path) if value)
    return tuple(value[:MOST_CHARACTERS] for value in list(found)[:MOST_NAMES])


def _values(message: Any, path: Path) -> Iterator[str]:  # noqa: ANN401 - a message, or what it holds
    if not path:
        yield message
        return
    value = getattr(message, path[0])
    for element in (value,) if isinstance(value, str | Message) else value:
        yield from _values(element, path[1:])


@cache
def _paths(message: Descriptor) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the paths of the fields that name items, and of those that name locations."""
    paths = list(_walk(message, ()))
    return (
        tuple(path for path in paths if path[-1] in _SKUS),
        tuple(path for path in paths if path[-1] in _LOCATIONS),
    )


def _walk(message: Descriptor, above: tuple[Descriptor, ...]) -> Iterator[Path]:
    for field in message.fields:
        inner = field.message_type
        if field.type == FieldDescriptor.TYPE_STRING and field.name in _SKUS | _LOCATIONS:
            yield (field.name,)
        elif inner is not None and inner not in (*above, message) and not inner.GetOptions().map_entry:
            yield from ((field.name, *path) for path in _walk(inner, (*above, message)))
