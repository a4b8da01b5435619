"""However many refusals come, a bounded number of entries counts them all."""

from __future__ import annotations

from datetime import UTC, datetime

from audit.receiver.tally import MOST_KINDS, tally
from serving.audit import Entry

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def refusal(method: str = "a/B", **told: str) -> Entry:
    """Return a refusal."""
    return Entry(NOW, method, "UNAUTHENTICATED")._replace(**told)  # type: ignore[arg-type]


def test_what_is_alike_is_one_entry_with_the_trace_of_the_first() -> None:
    entries = tally([refusal(trace_id="1"), refusal(trace_id="2"), refusal(actor="ann", proof="token")])
    assert [(one.actor, one.trace_id, one.calls) for one in entries] == [("", "1", 2), ("ann", "", 1)]


def test_a_flood_is_counted_to_the_last_call_in_few_entries() -> None:
    flood = [refusal(source=str(number)) for number in range(1000)]
    entries = tally([*flood, refusal(verdict="INTERNAL"), *flood])
    assert len(entries) == MOST_KINDS + 2
    assert sum(one.calls for one in entries) == 2001
    assert {(one.verdict, one.calls) for one in entries if not one.source and not one.method} == {
        ("UNAUTHENTICATED", 2 * (1000 - MOST_KINDS)),
        ("INTERNAL", 1),
    }
