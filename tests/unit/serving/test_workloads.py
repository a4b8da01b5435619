"""What the proxy in front of us says of certificates is taken apart with care."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.type.v1.access_pb2 import Role
from serving import workloads
from serving.identity import Caller
from serving.workloads import Workloads

SA = "spiffe://inventory.local/ns/inventory/sa"
ORDERS = f"{SA}/order-service"
EDGE = f"{SA}/edge"
KNOWN = Workloads({ORDERS: Caller(ORDERS, frozenset({Role.ROLE_ORDER_SERVICE}))}, {EDGE})


@pytest.mark.parametrize(
    "forwarded",
    [
        f"URI={ORDERS}",
        f'By={EDGE};Hash=468ed33be7;Subject="/C=US/CN=a,b;URI=x";URI={ORDERS};DNS=orders',
        # Both hops: the caller's, then that of the edge.
        f"By={EDGE};URI={ORDERS},By={SA}/command;URI={EDGE}",
        # What the caller itself had put there stands before what is true.
        f"URI=spiffe://evil/sa/admin,By={EDGE};URI={ORDERS},By={SA}/command;URI={EDGE}",
        f"URI={EDGE},URI={ORDERS}",
    ],
)
def test_the_caller_is_the_last_that_is_no_proxy(forwarded: str) -> None:
    caller = KNOWN.caller(forwarded)
    assert caller is not None
    assert caller.subject == ORDERS
    assert KNOWN.caller(forwarded) is caller


@pytest.mark.parametrize(
    "forwarded",
    [
        "",
        EDGE,
        f"URI={EDGE}",
        f"URI={SA}/other",
        f"URI={ORDERS},URI={SA}/other",
        f"URI={ORDERS},By={EDGE}",
        f"URI={ORDERS};URI={SA}/other",
        f"URI={ORDERS},",
        f",URI={ORDERS}",
        f"URI={ORDERS},,URI={EDGE}",
        f"URI={ORDERS},rubbish",
        f'Subject="URI={ORDERS}"',
        f'Subject="a\\";URI={ORDERS}"',
        f'Subject="a;URI={ORDERS}',
        f"URI={ORDERS.upper()}",
        f"URI={ORDERS}/x",
        f"URI={ORDERS}" + " " * workloads.MOST_BYTES,
    ],
)
def test_of_all_else_nothing_is_believed(forwarded: str) -> None:
    assert KNOWN.caller(forwarded) is None


@given(st.lists(st.sampled_from([*'URI=;," \\', ORDERS, EDGE, "By="])).map("".join))
def test_no_text_is_too_much(forwarded: str) -> None:
    KNOWN.caller(forwarded)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "MOST_KNOWN", 2)
    known = Workloads({ORDERS: Caller(ORDERS, frozenset())}, ())
    for number in range(5):
        assert known.caller(f"Hash={number};URI={ORDERS}")
    assert len(known._known) == 2  # noqa: SLF001 - nothing else tells
