"""Where calls go, how often they are tried, how many may come."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import pytest

from tests.deploy.manifests import named, of_kind, render
from tests.mesh.pods import Pod, probed
from tests.mesh.processes import wait_for
from tests.mesh.world import ADD_STOCK, GET_LEVEL, INGRESS, PORT, World

STABLE = f"cluster.outbound|{PORT}|stable|query.inventory.svc.cluster.local"
CANARY = f"cluster.outbound|{PORT}|canary|query.inventory.svc.cluster.local"
COMMAND = f"cluster.outbound|{PORT}|stable|command.inventory.svc.cluster.local"
CALLS = 300


def _count(pod: Pod, name: str) -> int:
    # Envoy may close a name off with what Istio tags it by.
    return sum(value for key, value in pod.counters.items() if key.replace(";", "") == name)


@pytest.fixture
def canary(world: World) -> Iterator[None]:
    """Let the canary have the share that its overlay gives it."""
    routes = named(render("deploy/overlays/production-canary"), "VirtualService", "query")
    world.control.apply([routes])

    def reached(calls: int) -> bool:
        before = _count(world.gateway, f"{CANARY}.upstream_rq_total")
        for _ in range(calls):
            world.call(GET_LEVEL, token)
        return _count(world.gateway, f"{CANARY}.upstream_rq_total") > before

    token = world.token()
    wait_for("the canary", lambda: reached(1))
    yield
    world.control.apply([named(world.manifests, "VirtualService", "query")])
    # With its tenth, it would be left out of so many once in five hundred times.
    wait_for("the end of the canary", lambda: not reached(60))


def test_production_alone_sends_nothing_to_a_canary(world: World) -> None:
    before = _count(world.gateway, f"{CANARY}.upstream_rq_total")
    for _ in range(30):
        assert world.call(GET_LEVEL, world.token()).status == "INVALID_ARGUMENT"
    assert _count(world.gateway, f"{CANARY}.upstream_rq_total") == before


@pytest.mark.usefixtures("canary")
def test_a_tenth_goes_to_the_canary(world: World) -> None:
    before = {name: _count(world.gateway, f"{name}.upstream_rq_total") for name in (STABLE, CANARY)}
    token = world.token()
    for _ in range(CALLS):
        assert world.call(GET_LEVEL, token).status == "INVALID_ARGUMENT"
    stable, canary = (
        _count(world.gateway, f"{name}.upstream_rq_total") - count for name, count in before.items()
    )
    assert stable + canary == CALLS
    # Four standard deviations around a tenth.
    assert 9 <= canary <= 51


@pytest.mark.parametrize(
    ("name", "method", "cluster", "tries"),
    [("query", GET_LEVEL, STABLE, 3), ("command", ADD_STOCK, COMMAND, 1)],
)
def test_queries_are_tried_again_and_commands_never(
    world: World, name: str, method: str, cluster: str, tries: int
) -> None:
    pod: Pod = getattr(world, name)
    assert pod.app is not None
    before = _count(world.gateway, f"{cluster}.upstream_rq_total")
    pod.app.send_signal(signal.SIGKILL)
    pod.app.wait()
    try:
        wait_for("the end of the service", lambda: not probed(pod, name))
        assert world.call(method, world.token(roles=["administrator"])).status == "UNAVAILABLE"
        assert _count(world.gateway, f"{cluster}.upstream_rq_total") - before == tries
    finally:
        world.serve(name)
        world.wait_until_reached(method)


def test_where_all_queries_fail_no_more_is_tried_than_the_budget_allows(world: World) -> None:
    # So many are never shed.
    calls, token = 20, world.token()
    before = _count(world.gateway, f"{STABLE}.upstream_rq_total")
    overflow = _count(world.gateway, f"{STABLE}.upstream_rq_retry_overflow")
    assert world.query.app is not None
    world.query.app.send_signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(calls) as pool:
            asked = [pool.submit(world.call, GET_LEVEL, token) for _ in range(calls)]
            wait_for("calls", lambda: _count(world.gateway, f"{STABLE}.upstream_rq_active") == calls)
            world.query.app.send_signal(signal.SIGKILL)
            assert {one.result().status for one in asked} == {"UNAVAILABLE"}
        # Without a budget, each would have been tried twice more.
        assert calls < _count(world.gateway, f"{STABLE}.upstream_rq_total") - before < 2 * calls
        assert _count(world.gateway, f"{STABLE}.upstream_rq_retry_overflow") > overflow
    finally:
        world.query.app.kill()
        world.query.app.wait()
        world.serve("query")
        world.wait_until_reached(GET_LEVEL)


def test_a_call_ends_when_its_route_says(world: World) -> None:
    routes = deepcopy(named(world.manifests, "VirtualService", "query"))
    rule = next(rule for rule in routes["spec"]["http"] if rule["name"] == "queries")
    assert rule["timeout"] == "60s"
    rule["timeout"] = "0.5s"
    before = _count(world.gateway, f"{STABLE}.upstream_rq_timeout")
    assert world.query.app is not None
    world.control.apply([routes])
    world.query.app.send_signal(signal.SIGSTOP)
    try:

        def timed_out() -> bool:
            world.call(GET_LEVEL, world.token())
            return _count(world.gateway, f"{STABLE}.upstream_rq_timeout") > before

        wait_for("a call that is cut off", timed_out)
    finally:
        world.query.app.send_signal(signal.SIGCONT)
        world.control.apply([named(world.manifests, "VirtualService", "query")])
        world.wait_until_reached(GET_LEVEL)


def test_each_caller_has_a_bucket_of_its_own(world: World) -> None:
    (own,) = (
        found
        for found in of_kind(world.manifests, "EnvoyFilter")
        if (found["metadata"]["namespace"], found["metadata"]["name"]) == (INGRESS, "limits")
    )
    limits = deepcopy(own)
    counted = [
        descriptor
        for patch in limits["spec"]["configPatches"]
        for descriptor in patch["patch"]["value"]["typed_config"].get("descriptors", ())
    ]
    (each,) = (one for one in counted if one["entries"] == [{"key": "caller"}])
    each["token_bucket"] = {"max_tokens": 5, "tokens_per_fill": 5, "fill_interval": "600s"}
    world.control.apply([limits])
    try:
        greedy, modest = world.token(sub="greedy"), world.token(sub="modest")
        wait_for(
            "a caller that has called too often",
            lambda: world.call(GET_LEVEL, greedy).status == "RESOURCE_EXHAUSTED",
        )
        assert world.call(GET_LEVEL, modest).status == "INVALID_ARGUMENT"
        assert world.call(GET_LEVEL, greedy).status == "RESOURCE_EXHAUSTED"
    finally:
        world.control.apply([own])
        # Those who come next would have a bucket of five, too.
        wait_for("the rates of before", lambda: world.call(GET_LEVEL, greedy).status == "INVALID_ARGUMENT")
