"""A consistency token comes back as it was made, and nothing else passes for one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serving import tokens

HERE = UUID("7f3c0f0e-1111-4222-8333-444455556666")
ID = UUID("0192f3c4-0000-7000-8000-000000000001")
TIME = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)


# Of version 1, which did not say where.
FORMER = "AQGS88QAAHAAgAAAAAAAAAEABmDwVVISQA"


@given(st.uuids(), st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_what_is_encoded_is_decoded(transaction_id: UUID, record_time: datetime, here: UUID) -> None:
    token = tokens.encode(transaction_id, record_time, here)
    assert len(token) == 44
    assert tokens.decode(token) == (transaction_id, record_time, here.bytes[:8])


def test_a_token_of_the_version_before_is_taken() -> None:
    assert tokens.decode(FORMER) == (ID, TIME, b"")


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    local = TIME.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert tokens.encode(ID, local, HERE) == tokens.encode(ID, TIME, HERE)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        tokens.encode(ID, TIME.replace(tzinfo=None), HERE)


@given(st.text(max_size=100))
@example(tokens.encode(ID, TIME, HERE)[:-1])
@example(tokens.encode(ID, TIME, HERE) + "=")
@example(tokens.encode(ID, TIME, HERE) + "AAAA")
@example(" " + tokens.encode(ID, TIME, HERE))
@example(FORMER + "=")
@example(FORMER[:-1] + "B")  # other spelling of the same bytes
@example("Aw" + tokens.encode(ID, TIME, HERE)[2:])  # another version
@example("AQ" + tokens.encode(ID, TIME, HERE)[2:])
@example("Ag" + FORMER[2:])
@example("")
@example("AQ" + 21 * "A" + "f_________8")  # a time beyond the calendar
@example("ж" * 34)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(tokens.InvalidTokenError):
        tokens.decode(text)
