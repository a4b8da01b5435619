"""A body of JSON is held for those alone who are known; others are refused by their headers."""

from __future__ import annotations

from http.client import HTTPSConnection

import pytest

from tests import bodies
from tests.integration.edge.conftest import CALLER, PATIENCE, trusting
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


def connection(edge: RunningStack, identity: str = "") -> HTTPSConnection:
    """Return a connection to be made, as a workload or without a certificate."""
    return HTTPSConnection(edge.edge, context=trusting(edge, identity), timeout=PATIENCE)


def good(edge: RunningStack) -> str:
    """Return what somebody says who is known."""
    return edge.metadata("bodies")[0][1]


def test_who_is_unknown_is_refused_before_the_body_is_there(edge: RunningStack) -> None:
    forged = good(edge)[:-8] + "AAAAAAAA"
    for said in ("", "Bearer x.y.z", forged, "Basic bm9ib2R5Om5vdGhpbmc="):
        assert bodies.refused(connection(edge), said) == (401, "UNAUTHENTICATED"), said


def test_who_is_known_is_answered_when_the_body_is_there(edge: RunningStack) -> None:
    # Nobody is behind the edge; and the certificate is that of a service that creates no items.
    assert bodies.awaited(connection(edge), good(edge)) == (503, "DEPENDENCY_UNAVAILABLE")
    assert bodies.awaited(connection(edge, CALLER)) == (403, "PERMISSION_DENIED")
