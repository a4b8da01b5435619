"""The table of limits speaks of methods that exist, and the filters made of it hold everybody to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.access import ACCESS
from stack import limits

TABLE = limits.read()


def test_methods_with_a_limit_of_their_own_exist() -> None:
    assert {f"/{method}" for method in TABLE.edge.methods} <= set(ACCESS)


@pytest.mark.parametrize("prefix", TABLE.shedding.exempt)
def test_what_is_exempt_exists(prefix: str) -> None:
    assert any(method.startswith(prefix) for method in ACCESS)


@pytest.mark.parametrize("claims", [limits.STACK_CLAIMS, limits.ISTIO_CLAIMS])
def test_a_filter_enforces_what_it_counts(claims: str) -> None:
    for made in (
        limits.by_address(TABLE.edge, TABLE.buckets),
        limits.by_caller(TABLE.edge, TABLE.buckets, claims),
    ):
        config = made["typed_config"]
        assert config["filter_enforced"] == config["filter_enabled"] == {"default_value": {"numerator": 100}}
        assert config["rate_limited_as_resource_exhausted"]
        assert config["max_dynamic_descriptors"] == TABLE.buckets


def test_a_named_method_has_its_own_bucket_of_each_caller() -> None:
    (batches,) = (
        one
        for one in limits.by_caller(TABLE.edge, 1, "token")["typed_config"]["descriptors"]
        if {"key": "method", "value": "/inventory.command.v1.StockCommandService/BatchStock"}
        in one["entries"]
    )
    assert batches["entries"][0] == {"key": "caller"}
    assert batches["token_bucket"]["max_tokens"] == 500


def test_at_the_edge_a_service_sheds_its_own_calls_and_as_many_more_as_it_has_replicas() -> None:
    made = limits.shedding(TABLE.shedding, "/inventory.query.", 3)["typed_config"]
    (matcher,) = made["xds_matcher"]["matcher_list"]["matchers"]
    *spared, others = matcher["predicate"]["or_matcher"]["predicate"]
    assert len(spared) == len(TABLE.shedding.exempt)
    own = others["not_matcher"]["single_predicate"]["value_match"]
    assert own == {"prefix": "/inventory.query."}
    bounds = made["extension_config"]["typed_config"]["gradient_controller_config"]
    assert bounds["min_rtt_calc_params"]["min_concurrency"] == 3 * TABLE.shedding.least
    assert bounds["concurrency_limit_params"]["max_concurrency_limit"] == 3 * TABLE.shedding.most


def test_a_table_with_what_nobody_knows_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text(limits.TABLE.read_text() + "\nmore: 1\n")
    with pytest.raises(TypeError):
        limits.read(file)
