"""Quantiles are exact while all durations are kept, and fair beyond."""

from __future__ import annotations

import math

import pytest

from demo import measure
from demo.measure import Latencies


def test_quantiles_are_durations_that_were_taken_in() -> None:
    latencies = Latencies()
    for hundredth in range(100, 0, -1):
        latencies.add(hundredth / 100)
    assert latencies.count == 100
    assert latencies.quantile(0.5) == 0.5
    assert latencies.quantile(0.99) == 0.99
    assert latencies.quantile(1) == 1
    assert latencies.quantile(0) == 0.01


def test_nothing_has_no_quantile() -> None:
    assert math.isnan(Latencies().quantile(0.5))


def test_memory_is_bounded_and_the_sample_fair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "SAMPLES", 500)
    latencies = Latencies()
    for number in range(20_000):
        latencies.add(number)
    assert latencies.count == 20_000
    assert latencies.quantile(0.5) == pytest.approx(10_000, rel=0.15)


def test_a_block_is_timed_however_it_ends() -> None:
    latencies = Latencies()
    with pytest.raises(KeyError), latencies.timed():
        raise KeyError
    assert latencies.count == 1
    assert 0 <= latencies.quantile(0.5) < 1
