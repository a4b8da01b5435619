"""What the tests of the mesh share: it is started once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mesh import builds
from tests.mesh.network import networks
from tests.mesh.world import World, running_world
from tests.stack_fixture import running_stack

SKIP = "INVENTORY_MESH_SKIP"
TOOLS = ("ip", "iptables-restore", "setpriv")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all that is here, and give it the time that a start takes."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.mesh)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """Give the running mesh; without root, or a tool, that is a failure unless it is to be passed over."""
    if os.environ.get(SKIP) == "1":
        pytest.skip(f"{SKIP}=1: nothing is known of the mesh")
    if os.geteuid() != 0:
        pytest.fail(f"the mesh needs root, for network namespaces: run as root, or set {SKIP}=1")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.fail(
            f"the mesh needs {', '.join(missing)}: install it (Debian: iproute2, iptables, util-linux)"
        )
    programs = builds.ensure()
    with (
        running_stack("mesh", only=("postgres", "valkey", "database")) as stack,
        networks(),
        tempfile.TemporaryDirectory(prefix="inventory-mesh-") as folder,
        running_world(programs, stack, Path(folder)) as running,
    ):
        yield running
