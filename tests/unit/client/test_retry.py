"""The pauses between attempts, and when there are none."""

from __future__ import annotations

from types import MappingProxyType

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client import InventoryError, RetryPolicy


def failed(code: grpc.StatusCode, retry_after: float | None = None) -> InventoryError:
    """Return a failed call of the given code."""
    return InventoryError(
        code=code,
        reason="",
        message="",
        metadata=MappingProxyType({}),
        field_violations=(),
        retry_after=retry_after,
        request_id="",
    )


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.UNAVAILABLE]
)
def test_only_unavailable_is_tried_again_unasked(code: grpc.StatusCode) -> None:
    assert RetryPolicy().pause(failed(code), attempt=1, remaining=60) is None


def test_an_exhausted_resource_is_tried_again_when_the_service_says_when() -> None:
    error = failed(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=0.5)
    pause = RetryPolicy().pause(error, attempt=1, remaining=60)
    assert pause is not None
    assert pause >= 0.5


@given(
    attempt=st.integers(1, 50),
    attempts=st.integers(1, 50),
    remaining=st.floats(0, 100),
    retry_after=st.none() | st.floats(0, 100),
)
def test_pauses_stay_within_all_bounds(
    attempt: int, attempts: int, remaining: float, retry_after: float | None
) -> None:
    policy = RetryPolicy(attempts=attempts, first_pause=0.1, longest_pause=1.5)
    pause = policy.pause(failed(grpc.StatusCode.UNAVAILABLE, retry_after), attempt, remaining)
    if attempt >= attempts or remaining <= (retry_after or 0):
        assert pause is None
    elif pause is not None:
        asked = retry_after or 0
        assert asked <= pause <= asked + min(1.5, 0.1 * 2 ** (attempt - 1))
        assert pause < remaining
