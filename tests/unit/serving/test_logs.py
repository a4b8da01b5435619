"""Every line is one JSON object, whoever wrote it, and tells no secrets."""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from serving import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def entries(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was logged."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def _fail() -> None:
    password = "hunter2"  # noqa: S105 - a stand-in
    raise RuntimeError(f"{len(password)} characters")


def test_both_kinds_of_loggers_write_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "query_svc")
    structlog.get_logger().info("served", method="GetItem")
    logging.getLogger("grpc").warning("about %s", "it")
    ours, theirs = entries(capsys)
    assert (ours["event"], ours["level"], ours["method"]) == ("served", "info", "GetItem")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("about it", "warning", "grpc")
    for entry in (ours, theirs):
        assert entry["service"] == "query_svc"
        assert entry["pid"] == os.getpid()
        assert entry["timestamp"].endswith("Z")


def test_less_severe_entries_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", "query_svc")
    structlog.get_logger().info("no")
    logging.getLogger("grpc").info("no")
    assert entries(capsys) == []


def test_an_exception_is_logged_without_the_values_of_its_locals(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "query_svc")
    for log in (structlog.get_logger(), logging.getLogger("other")):
        try:
            _fail()
        except RuntimeError:
            log.exception("failed")
    text = capsys.readouterr().err
    assert "hunter2" not in text
    for line in text.splitlines():
        assert json.loads(line)["exception"][0]["exc_value"] == "7 characters"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no order of ann.lee+x@example.co.uk is here", "no order of *** is here"),
        ("Authorization: Bearer abc.def-_1=", "Authorization: Bearer ***"),
        ("token eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln was refused", "token *** was refused"),
        (
            "postgresql://inventory_query:hunter2@db:5432/x failed",
            "postgresql://inventory_query:***@db:5432/x failed",
        ),
        ("inventory.query.v1.StockQueryService/ListLots", "inventory.query.v1.StockQueryService/ListLots"),
        ("spiffe://inventory.local/ns/inventory/sa/edge", "spiffe://inventory.local/ns/inventory/sa/edge"),
    ],
)
def test_what_is_secret_or_names_a_person_is_masked_wherever_it_stands(
    capsys: pytest.CaptureFixture[str], said: str, shown: str
) -> None:
    logs.configure("info", "query_svc")
    structlog.get_logger().info(said, cause=said, more={"of": [said]})
    logging.getLogger("other").info("%s", said)
    ours, theirs = entries(capsys)
    assert (ours["event"], ours["cause"], ours["more"], theirs["event"]) == (
        shown,
        shown,
        {"of": [shown]},
        shown,
    )


def test_what_is_named_a_secret_is_masked_whatever_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "query_svc")
    told = {"headers": {"Cookie": "b", "x-id": "c"}, "email": ["d"], "access_token": b"e", "page_token": "f"}
    structlog.get_logger().info("x", authorization="a", **told)
    (entry,) = entries(capsys)
    assert {name: entry[name] for name in ("authorization", *told)} == {
        "authorization": "***",
        "headers": {"Cookie": "***", "x-id": "c"},
        "email": "***",
        "access_token": "***",
        "page_token": "f",
    }


def _complain() -> None:
    raise ValueError("of ann@example.com")


def test_an_exception_is_masked_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "query_svc")
    try:
        _complain()
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "ann@" not in capsys.readouterr().err
