"""The edge alone: its Envoy and the issuer of tokens, with nobody behind it."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from stack import envoy_proxy
from stack.certificates import Certificates
from tests.stack_fixture import RunningStack, running_stack

CALLER = "order-service"
"""A workload with a certificate."""
PATIENCE = 60


@pytest.fixture(scope="package")
def edge() -> Iterator[RunningStack]:
    """Give it."""
    with running_stack("edge", only=("certificates", "issuer")) as stack:
        Certificates(stack.home).issue(CALLER)
        envoy_proxy.prepare_edge(stack.home)
        with (stack.home.logs / "edge.log").open("wb") as log:
            envoy = subprocess.Popen(envoy_proxy.command(stack.home, "edge"), stdout=log, stderr=log)  # noqa: S603
            try:
                _wait_until_it_listens(stack, envoy)
                yield stack
            finally:
                envoy.terminate()
                envoy.wait(PATIENCE)


def _wait_until_it_listens(stack: RunningStack, envoy: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        assert envoy.poll() is None
        assert time.monotonic() < deadline
        try:
            ready = httpx.get(f"http://{stack.home.ports.address('edge_admin')}/ready", trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
            continue
        if ready.text.startswith("LIVE"):
            return
        time.sleep(0.05)


async def connected(
    edge: RunningStack, identity: str = ""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect by HTTP/1.1, as a workload or without a certificate."""
    host, _, port = edge.edge.rpartition(":")
    return await asyncio.open_connection(host, int(port), ssl=trusting(edge, identity), server_hostname=host)


def trusting(edge: RunningStack, identity: str = "") -> ssl.SSLContext:
    """Return the context of a workload, or of somebody without a certificate."""
    tls = edge.tls(identity)
    context = ssl.create_default_context(cafile=tls.ca)
    if tls.certificate:
        context.load_cert_chain(tls.certificate)
    return context
