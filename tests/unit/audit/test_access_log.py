"""What a proxy says of a call becomes the entry that it is."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from google.protobuf.any_pb2 import Any
from google.rpc import status_pb2
from grpc import StatusCode
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from audit.receiver.access_log import ATTRIBUTES, refusal_in
from inventory.type.v1 import error_reason_pb2
from serving.contracts import ROUTES
from serving.errors import CallError
from serving.identity import unauthenticated
from stack.home import CHECKOUT

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
VERDICTS = {code.name for code in StatusCode} | {
    name.removeprefix("ERROR_REASON_")
    for name in error_reason_pb2.ErrorReason.keys()  # noqa: SIM118 - no mapping
}
METHOD = "/inventory.query.v1.StockQueryService/ListLots"


def record(told: Mapping[str, str], began: datetime = NOW - timedelta(seconds=3)) -> LogRecord:
    """Return what a proxy sends, every attribute of which is there."""
    usual = {"path": METHOD, "address": "10.1.2.3", "grpc_status": "16"}
    attributes = {**dict.fromkeys(ATTRIBUTES, "-"), **usual, **told}
    return LogRecord(
        time_unix_nano=int(began.timestamp() * 1e9),
        attributes=[
            KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items()
        ],
    )


def header(error: CallError) -> str:
    """Return an error's details as the header holds them, without padding."""
    return b64encode(error.to_status().SerializeToString()).decode().rstrip("=")


def test_an_entry_says_who_from_where_what_and_why() -> None:
    limited = CallError(error_reason_pb2.ERROR_REASON_QUEUE_FULL, "too many")
    trace = f"00-{'ab' * 16}-{'cd' * 8}-01"

    entry = refusal_in(
        record({"subject": "ann", "status_details": header(limited), "traceparent": trace}), NOW
    )

    assert entry is not None
    assert entry[:7] == (
        NOW - timedelta(seconds=3), METHOD[1:], "QUEUE_FULL", "ann", "token", "10.1.2.0/24", "",
    )  # fmt: skip
    assert entry.trace_id == "ab" * 16


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ({"status_details": header(unauthenticated("expired", "over"))}, "UNAUTHENTICATED"),
        ({"status_details": "no base64!"}, "UNAUTHENTICATED"),
        ({"status_details": b64encode(b"\xff\xff").decode()}, "UNAUTHENTICATED"),
        ({"grpc_status": "99"}, "UNKNOWN"),
        ({"grpc_status": "-", "http_status": "404"}, "UNIMPLEMENTED"),
        ({"grpc_status": "-", "http_status": "400"}, "INVALID_ARGUMENT"),
        ({"grpc_status": "-", "http_status": "429"}, "RESOURCE_EXHAUSTED"),
        ({"grpc_status": "-", "http_status": "418"}, "UNKNOWN"),
        ({"grpc_status": "-", "http_status": "0", "details": "http2.too_many_headers"}, "INVALID_ARGUMENT"),
    ],
)
def test_the_verdict_is_the_reason_or_else_the_status(told: dict[str, str], verdict: str) -> None:
    entry = refusal_in(record(told), NOW)
    assert entry is not None
    assert entry.verdict == verdict


@pytest.mark.parametrize(
    "told",
    [
        {"grpc_status": "0"},
        {"grpc_status": "-", "http_status": "200"},
        {"grpc_status": "-", "http_status": "0", "details": "downstream_remote_disconnect"},
    ],
)
def test_who_is_answered_or_goes_away_is_not_refused(told: dict[str, str]) -> None:
    assert refusal_in(record(told), NOW) is None


def test_the_caller_of_a_sidecar_is_whom_the_edge_has_seen() -> None:
    entry = refusal_in(record({"forwarded": "By=spiffe://a/edge;URI=spiffe://a/till"}), NOW)
    assert entry is not None
    assert (entry.actor, entry.proof) == ("spiffe://a/till", "certificate")


def test_paths_of_nobody_and_clocks_that_are_off_are_not_told() -> None:
    for began in (NOW - timedelta(days=30), NOW + timedelta(hours=1)):
        entry = refusal_in(record({"path": "/ann@example.com/x?token=y"}, began), NOW)
        assert entry is not None
        assert (entry.record_time, entry.method) == (NOW, "")


@pytest.mark.parametrize(
    ("verb", "address", "method"),
    [
        ("GET", "/v1/items", "query.v1.CatalogQueryService/ListItems"),
        ("POST", "/v1/items", "command.v1.ItemCommandService/CreateItem"),
        ("GET", "/v1/items/ann@example.com?page_size=2", "query.v1.CatalogQueryService/GetItem"),
        ("GET", "/v1/items/A%2FB/stock/BER:1", "query.v1.StockQueryService/GetStockLevel"),
        ("POST", "/v1/items/A:B:archive", "command.v1.ItemCommandService/ArchiveItem"),
        ("GET", "/v1/stock:watch", "query.v1.StockQueryService/WatchStock"),
    ],
)
def test_an_address_of_json_is_its_methods_and_nothing_else_is_told(
    verb: str, address: str, method: str
) -> None:
    entry = refusal_in(record({"verb": verb, "path": address}), NOW)
    assert entry is not None
    assert entry.method == f"inventory.{method}"


def test_every_address_of_json_is_its_own_methods() -> None:
    for route in ROUTES:
        address = re.sub(r"\{[^}]*\}", "X:1", route.address)
        entry = refusal_in(record({"verb": route.verb.upper(), "path": address}), NOW)
        assert entry is not None
        assert f"/{entry.method}" == route.method


@pytest.mark.parametrize(
    ("verb", "address"), [("DELETE", "/v1/items"), ("GET", "/v1/nothing"), ("", "/v1/items"), ("GET", "/v1")]
)
def test_what_is_no_address_of_json_is_not_told(verb: str, address: str) -> None:
    entry = refusal_in(record({"verb": verb, "path": address}), NOW)
    assert entry is not None
    assert entry.method == ""


@pytest.mark.parametrize(
    ("proxy", "missing"), [("edge", {"forwarded"}), ("sidecar", {"identity", "subject"})]
)
def test_proxies_send_what_is_read(proxy: str, missing: set[str]) -> None:
    template = (CHECKOUT / "envoy" / f"{proxy}.yaml").read_text()
    config = yaml.safe_load(re.sub(r"\$\{\w+\}", "value", template))
    (chain,) = config["static_resources"]["listeners"][0]["filter_chains"]
    logs = chain["filters"][0]["typed_config"]["access_log"]
    (sent,) = (log["typed_config"] for log in logs if log["name"] == "envoy.access_loggers.open_telemetry")
    # By the id of its stream, every record is one of a kind, and so is every batch.
    assert {one["key"] for one in sent["attributes"]["values"]} - {"stream"} == ATTRIBUTES - missing


HEADERS = st.one_of(
    st.text(),
    st.binary().map(lambda held: b64encode(held).decode()),
    # A Status whose detail says that it is an ErrorInfo, and may be none.
    st.binary().map(
        lambda held: b64encode(
            status_pb2.Status(
                details=[Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=held)]
            ).SerializeToString()
        ).decode()
    ),
)
NUMBERS = st.one_of(
    st.integers().map(str), st.integers(1, 20_000).map(lambda length: "7" * length), st.text()
)


@given(
    told=st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(ATTRIBUTES, st.text()),
            "status_details": HEADERS,
            "grpc_status": NUMBERS,
            "http_status": NUMBERS,
        },
    ),
    nanoseconds=st.integers(0, 2**64 - 1),
)
@example(told={"grpc_status": "7" * 4301}, nanoseconds=0)
@example(told={"grpc_status": "-", "http_status": "7" * 4301}, nanoseconds=0)
def test_whatever_a_proxy_sends_is_an_entry_with_a_known_verdict_or_none(
    told: dict[str, str], nanoseconds: int
) -> None:
    sent = record(told)
    sent.time_unix_nano = nanoseconds
    entry = refusal_in(sent, NOW)
    assert entry is None or entry.verdict in VERDICTS
    assert entry is None or NOW - timedelta(days=1) < entry.record_time <= NOW
