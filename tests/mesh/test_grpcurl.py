"""An operator's own tool, through the gateway: grpcurl as it is built from its sources."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import TypeAlias

import pytest

from tests.mesh import builds
from tests.mesh.world import PUBLIC, World

COMMAND, QUERY = "inventory.command.v1.ItemCommandService", "inventory.query.v1.CatalogQueryService"


Call: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def grpcurl(world: World) -> Call:
    """Give a way to call with some roles, and a request if there is one."""
    program = builds.ensure().grpcurl / "grpcurl"

    def run(roles: list[str], *what: str, request: object = None) -> subprocess.CompletedProcess[str]:
        given = [] if request is None else ["-d", json.dumps(request)]
        return subprocess.run(  # noqa: S603
            [
                str(program),
                *("-cacert", str(world.authority), "-authority", PUBLIC, "-max-time", "20"),
                *("-H", f"authorization: Bearer {world.token(roles=roles)}"),
                *given,
                f"{world.gateway.address}:8443",
                *what,
            ],
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_it_lists_and_describes_for_an_operator_and_for_nobody_else(grpcurl: Call) -> None:
    listed = grpcurl(["operator"], "list")
    assert QUERY in listed.stdout.splitlines(), listed
    described = grpcurl(["operator"], "describe", QUERY)
    assert "rpc GetItem ( .inventory.query.v1.GetItemRequest )" in described.stdout, described
    refused = grpcurl(["viewer"], "list")
    assert refused.returncode != 0
    assert "is not for the caller's roles" in refused.stderr


def test_it_commands_and_asks(grpcurl: Call) -> None:
    # What a request looks like, it learns by reflection, which is for operators.
    roles = ["operator", "planner", "viewer"]
    made = grpcurl(roles, f"{COMMAND}/CreateItem", request={"sku": "CURL-1", "name": "By grpcurl"})
    assert made.returncode == 0, made
    everything = {"fully_consistent": True}
    asked = grpcurl(roles, f"{QUERY}/GetItem", request={"sku": "CURL-1", "consistency": everything})
    assert asked.returncode == 0, asked
    assert json.loads(asked.stdout)["item"]["name"] == "By grpcurl"


def test_it_shows_that_it_was_refused(grpcurl: Call) -> None:
    refused = grpcurl(["operator"], f"{COMMAND}/CreateItem", request={"sku": "CURL-2"})
    assert "Code: PermissionDenied" in refused.stderr, refused
