"""Refusals of a short while as few entries: those that are alike are one, which says how many. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from serving.audit import Entry

__all__ = ["MOST_KINDS", "tally"]

MOST_KINDS = 100
"""Entries of their own; of what is different still, only the verdict is told."""


def tally(refusals: Iterable[Entry]) -> list[Entry]:
    """Return the entries that stand for refusals: the first of each kind, with the number of `calls`.

    Who has nothing to prove with can thus neither fill the log nor hide in it: besides MOST_KINDS entries
    there is one for each verdict at most, and all calls are counted.
    """
    kinds: dict[tuple[str, ...], Entry] = {}
    for one in refusals:
        kind: tuple[str, ...] = (one.method, one.verdict, one.actor, one.proof, one.source)
        entry = one
        if kind not in kinds and len(kinds) >= MOST_KINDS:
            kind, entry = (one.verdict,), Entry(one.record_time, "", one.verdict, calls=one.calls)
        known = kinds.get(kind)
        kinds[kind] = entry if known is None else known._replace(calls=known.calls + entry.calls)
    return list(kinds.values())
