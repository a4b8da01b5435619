"""The limits of callers and services (envoy/limits.yaml), as filters of Envoy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stack.home import CHECKOUT

TABLE = CHECKOUT / "envoy" / "limits.yaml"
EXTENSIONS = "type.googleapis.com/envoy.extensions"
TOKEN_FILTER = "envoy.filters.http.jwt_authn"  # noqa: S105 - a filter's name
# Where jwt_authn of the stack's edge leaves a token's claims; Istio's leaves them elsewhere.
STACK_CLAIMS = "token"
ISTIO_CLAIMS = "payload"

Filter = dict[str, Any]


class Rates(NamedTuple):
    """Calls a second: of all, of an address, of a caller, of each of its methods, and of those named.

    None where a proxy does not count that.
    """

    all: int
    caller: int
    address: int | None = None
    method: int | None = None
    methods: Mapping[str, int] = {}


class Shedding(NamedTuple):
    """When a service sheds: see the table."""

    milliseconds: int
    least: int
    most: int
    exempt: Sequence[str]


class Limits(NamedTuple):
    """The whole table."""

    edge: Rates
    gateway: Rates
    service: Rates
    buckets: int
    shedding: Shedding


def read(file: Path = TABLE) -> Limits:
    """Return the table; TypeError or YAMLError if it is not one."""
    table = yaml.safe_load(file.read_text())
    edge, gateway, service = (Rates(**table.pop(name)) for name in ("edge", "gateway", "service"))
    return Limits(edge, gateway, service, shedding=Shedding(**table.pop("shedding")), **table)


def by_address(rates: Rates, buckets: int) -> Filter:
    """Return the filter that counts addresses, to stand before all that costs more."""
    action: Filter = {"remote_address": {}}
    descriptors = [_descriptor({"remote_address": None}, rates.address or rates.all)]
    return _counting("addresses", rates.all, buckets, [[action]], descriptors)


def by_caller(rates: Rates, buckets: int, claims: str) -> Filter:
    """Return the filter that counts callers and their methods, to stand where they are known."""
    caller = _expression("caller", _caller(claims))
    actions = [[caller]]
    descriptors = [_descriptor({"caller": None}, rates.caller)]
    if rates.method is not None:
        actions.append([caller, _expression("method", "request.url_path")])
        descriptors += [
            _descriptor({"caller": None, "method": f"/{method}"}, rate)
            for method, rate in rates.methods.items()
        ]
        descriptors.append(_descriptor({"caller": None, "method": None}, rates.method))
    return _counting("callers", rates.all, buckets, actions, descriptors)


def shedding(limits: Shedding, within: str = "", replicas: int = 1) -> Filter:
    """Return the filter that sheds what a service of so many replicas cannot answer in time.

    It counts the methods that begin with `within`, as in "/inventory.query.".
    """
    spared = [{"single_predicate": _path_begins(path)} for path in limits.exempt]
    if within:
        spared.append({"not_matcher": {"single_predicate": _path_begins(within)}})
    skip = {"@type": f"{EXTENSIONS}.filters.common.matcher.action.v3.SkipFilter"}
    on_match = {"action": {"name": "skip", "typed_config": skip}}
    return {
        "name": "envoy.filters.http.match_delegate",
        "typed_config": {
            "@type": f"{EXTENSIONS}.common.matching.v3.ExtensionWithMatcher",
            "extension_config": {
                "name": "envoy.filters.http.adaptive_concurrency",
                "typed_config": _adaptive(limits, replicas),
            },
            "xds_matcher": {
                "matcher_list": {
                    "matchers": [{"predicate": {"or_matcher": {"predicate": spared}}, "on_match": on_match}]
                }
            },
        },
    }


def _adaptive(limits: Shedding, replicas: int) -> Filter:
    return {
        "@type": f"{EXTENSIONS}.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency",
        "enabled": {"default_value": True, "runtime_key": "inventory.shedding"},
        "gradient_controller_config": {
            "sample_aggregate_percentile": {"value": 50},
            "concurrency_limit_params": {
                "max_concurrency_limit": limits.most * replicas,
                "concurrency_update_interval": "0.1s",
            },
            # A goal: to measure what a call takes at least, Envoy would shed for a while whatever comes.
            "min_rtt_calc_params": {
                "fixed_value": f"{limits.milliseconds / 1000}s",
                "min_concurrency": limits.least * replicas,
                "buffer": {"value": 0},
            },
        },
    }


def _path_begins(prefix: str) -> Filter:
    return {
        "input": {
            "name": "path",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
                "header_name": ":path",
            },
        },
        "value_match": {"prefix": prefix},
    }


def _counting(
    name: str, all_together: int, buckets: int, actions: list[list[Filter]], descriptors: list[Filter]
) -> Filter:
    return {
        "name": "envoy.filters.http.local_ratelimit",
        "typed_config": {
            "@type": f"{EXTENSIONS}.filters.http.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": name,
            "token_bucket": _bucket(all_together),
            "always_consume_default_token_bucket": True,
            # Without these, Envoy counts and lets everything through.
            "filter_enabled": {"default_value": {"numerator": 100}},
            "filter_enforced": {"default_value": {"numerator": 100}},
            "rate_limited_as_resource_exhausted": True,
            "max_dynamic_descriptors": buckets,
            "rate_limits": [{"actions": one} for one in actions],
            "descriptors": descriptors,
        },
    }


def _descriptor(entries: Mapping[str, str | None], rate: int) -> Filter:
    """Return a bucket; one for each value that comes where an entry has none."""
    return {
        "entries": [
            {"key": key} if value is None else {"key": key, "value": value} for key, value in entries.items()
        ],
        "token_bucket": _bucket(rate),
    }


def _bucket(rate: int) -> Filter:
    return {"max_tokens": rate, "tokens_per_fill": rate, "fill_interval": "1s"}


def _expression(key: str, text: str) -> Filter:
    return {
        "extension": {
            "name": "envoy.rate_limit_descriptors.expr",
            "typed_config": {
                "@type": f"{EXTENSIONS}.rate_limit_descriptors.expr.v3.Descriptor",
                "descriptor_key": key,
                "text": text,
            },
        }
    }


def _caller(claims: str) -> str:
    """Return the expression for who calls: the subject of a token, else the identity of a certificate."""
    metadata = f"metadata.filter_metadata['{TOKEN_FILTER}']"
    token = f"{metadata}['{claims}']['sub']"
    known = f"'{TOKEN_FILTER}' in metadata.filter_metadata && '{claims}' in {metadata}"
    return f"{known} ? {token} : connection.uri_san_peer_certificate"
