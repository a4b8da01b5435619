"""The client is a distribution of its own, which works beside nothing but what it says it needs."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from client.version import VERSION

ROOT = Path(__file__).parents[3]
USE = """
import sys
from importlib.util import find_spec
from inventory_client import BlockingClient, RetryPolicy, UnavailableError
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest

with BlockingClient("127.0.0.1:1", retry=RetryPolicy(attempts=1)) as client:
    try:
        client.add_stock(AddStockRequest(sku="MUG-1"))
    except UnavailableError as error:
        print(error.request_id)
print(*(name for name in sys.argv[1:] if find_spec(name)))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it, as `pip install ./client` does."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT / "client", check=True, capture_output=True)  # noqa: S603 - our own
    (built,) = folder.iterdir()
    return built


def needed(names: list[str], found: dict[str, metadata.Distribution]) -> dict[str, metadata.Distribution]:
    """Return the distributions of these names and whatever they need."""
    for name in names:
        if name not in found:
            found[name] = metadata.distribution(name)
            needs = [Requirement(text) for text in found[name].requires or ()]
            needed([need.name for need in needs if need.marker is None or need.marker.evaluate()], found)
    return found


def requirements(wheel: Path) -> list[Requirement]:
    """Return what the wheel says it needs."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        lines = archive.read(name).decode().splitlines()
    return [Requirement(line.partition(": ")[2]) for line in lines if line.startswith("Requires-Dist: ")]


def test_it_works_where_nothing_else_is(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path, symlinks=True)
    (packages,) = tmp_path.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    for distribution in needed([each.name for each in requirements(wheel)], {}).values():
        for top in {path.parts[0] for path in distribution.files or () if ".." not in path.parts}:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(str(distribution.locate_file(top))))
    others = ["client", "serving", "psycopg", "redis", "confluent_kafka", "protovalidate"]
    use = [str(tmp_path / "bin" / "python"), "-I", "-c", USE, "inventory", "httpx", *others]
    done = subprocess.run(use, check=True, capture_output=True, text=True)  # noqa: S603 - our own
    request_id, found = done.stdout.splitlines()
    assert len(request_id) == 36
    assert found.split() == ["inventory", "httpx"]


def test_it_asks_for_what_the_code_of_the_contracts_was_generated_for(wheel: Path) -> None:
    least = {each.name: str(each.specifier).removeprefix(">=") for each in requirements(wheel)}
    generated = ROOT / "gen/inventory/command/v1"
    stubs = (generated / "stock_command_service_pb2_grpc.py").read_text()
    messages = (generated / "stock_command_service_pb2.py").read_text()
    assert f"GRPC_GENERATED_VERSION = '{least['grpcio']}'" in stubs
    assert least["grpcio-status"] == least["grpcio"]
    assert f"# Protobuf Python Version: {least['protobuf']}\n" in messages


def test_it_tells_its_version(wheel: Path) -> None:
    assert re.fullmatch(rf"inventory_client-{re.escape(VERSION)}-py3-none-any\.whl", wheel.name)
