"""A page in a real browser calls by gRPC-Web, if its origin may."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.browser import served, shown
from tests.integration.mesh.conftest import ORIGIN
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


def test_a_page_calls_from_an_allowed_origin_alone(mesh: RunningStack, tmp_path: Path) -> None:
    token = dict(mesh.metadata("page", "viewer"))["authorization"]
    with served(urlsplit(ORIGIN).port or 80) as page:
        page.calls(mesh.edge, token)
        assert "grpc-status:0" in shown(ORIGIN, tmp_path)["body"]
        page.calls(mesh.edge, "Bearer x")
        assert shown(ORIGIN, tmp_path)["status"] == "16"
        # The same page, by another name.
        page.calls(mesh.edge, token)
        assert shown(ORIGIN.replace("localhost", "127.0.0.1"), tmp_path) == {"error": "TypeError"}
