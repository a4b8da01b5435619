"""The page of metrics: the process's own figures, and what coroutines tell while the loop serves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.metrics_core import GaugeMetricFamily
from pydantic import ValidationError

from serving.metrics import AskedMetrics, MetricsPage
from serving.server import ListenError
from serving.settings import ServerSettings
from tests.ports import free_port
from tests.unit.serving.conftest import running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client.metrics_core import Metric


async def page(port: int) -> httpx.Response:
    """Read the page."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"http://127.0.0.1:{port}/metrics")


async def test_a_server_shows_its_own_figures_where_it_is_told_to() -> None:
    port = free_port()
    async with running(metrics_listen=f"127.0.0.1:{port}"):
        answer = await page(port)
        assert answer.status_code == httpx.codes.OK
        assert "process_resident_memory_bytes" in answer.text
        with pytest.raises(ListenError, match=f"127.0.0.1:{port} for metrics"):
            async with running(metrics_listen=f"127.0.0.1:{port}"):
                pass
    with pytest.raises(httpx.ConnectError):
        await page(port)


async def test_what_a_coroutine_tells_is_shown_anew_at_each_reading() -> None:
    asked = 0

    async def ask() -> Sequence[Metric]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return [GaugeMetricFamily("asked", "How often.", value=asked)]

    metrics = MetricsPage("127.0.0.1", 0, [AskedMetrics(ask, 5)])
    try:
        for number in (1, 2):
            assert f"\nasked {number}.0\n" in (await page(metrics.port)).text
    finally:
        await metrics.close()


async def test_what_is_not_told_in_time_is_an_error_and_holds_up_no_end() -> None:
    async def ask() -> Sequence[Metric]:
        await asyncio.sleep(60)
        return []

    metrics = MetricsPage("127.0.0.1", 0, [AskedMetrics(ask, 0.05)])
    try:
        assert (await page(metrics.port)).status_code == httpx.codes.INTERNAL_SERVER_ERROR
    finally:
        await metrics.close()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"metrics_listen": "0.0.0.0:9000"}, "on the loopback"),
        ({"metrics_listen": "127.0.0.1:9000", "workers": 2}, "figures of its own"),
    ],
)
def test_a_page_that_others_reach_or_that_several_share_is_refused(
    settings: dict[str, object], why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        ServerSettings.model_validate({"listen": "127.0.0.1:8080", **settings})
