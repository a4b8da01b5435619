"""What the tests of the mesh share: it is started once."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.mesh import builds
from tests.mesh.network import networks
from tests.mesh.world import PUBLIC, World, running_world
from tests.stack_fixture import running_stack

SKIP = "INVENTORY_MESH_SKIP"
# What a program of the system comes with, on Debian.
PACKAGES = {"ip": "iproute2", "iptables-restore": "iptables", "setpriv": "util-linux"}


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
    install_missing()
    programs = builds.ensure()
    with (
        running_stack("mesh-world", only=("postgres", "valkey", "database")) as stack,
        networks(),
        tempfile.TemporaryDirectory(prefix="inventory-mesh-") as folder,
        running_world(programs, stack, Path(folder)) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def web(world: World) -> Iterator[httpx.Client]:
    """Give a client of the gateway by HTTP/1.1, without a token."""

    def name(request: httpx.Request) -> None:
        request.extensions["sni_hostname"] = PUBLIC

    with httpx.Client(
        base_url=f"https://{world.gateway.address}:8443",
        headers={"host": PUBLIC},
        verify=ssl.create_default_context(cafile=str(world.authority)),
        event_hooks={"request": [name]},
        timeout=30,
        trust_env=False,
    ) as client:
        yield client


def install_missing() -> None:
    """Install the tools that are missing, where Debian's packages can be had; else fail, naming them."""
    packages = [package for tool, package in PACKAGES.items() if shutil.which(tool) is None]
    if packages and shutil.which("apt-get") is None:
        pytest.fail(f"the mesh needs {', '.join(packages)}: install them")
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    for command in (["apt-get", "update", "-qq"], install) if packages else ():
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            pytest.fail(f"{' '.join(command)} failed:\n{done.stderr[-1000:]}")
