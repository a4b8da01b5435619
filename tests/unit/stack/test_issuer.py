"""The development issuer gives good tokens to whoever knows the stack's password, and to nobody else."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import client
from inventory.type.v1.access_pb2 import Role
from serving import keys
from serving.access_tokens import Claims, TokenVerifier
from serving.errors import CallError
from serving.identity import StepUp
from serving.keys import KeySource
from stack.issuer.granting import AUDIENCE, DEVELOPMENT_GRANT
from stack.issuer.keys import OLD_KEYS, KeyRing
from stack.issuer.web import MOST_BYTES, IssuerServer

PASSWORD = "correct horse battery"  # noqa: S105 - of this test
CLERK = {
    "grant_type": DEVELOPMENT_GRANT,
    "client_secret": PASSWORD,
    "role": "clerk viewer",
    "locations": "W1 W2",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[IssuerServer]:
    """Give an issuer that serves."""
    with IssuerServer(("127.0.0.1", 0), KeyRing(tmp_path / "keys.json", every=3600), PASSWORD) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked(server: IssuerServer, path: str = "/token", **form: str) -> httpx.Response:
    """Return what the issuer answers to a form."""
    return httpx.post(server.issuer + path, data=form, trust_env=False)


def verifier_of(server: IssuerServer) -> TokenVerifier:
    """Return what a service verifies with, set up as the issuer's own discovery document says."""
    found: dict[str, Any] = httpx.get(
        f"{server.issuer}/.well-known/openid-configuration", trust_env=False
    ).json()
    claims = Claims(found["issuer"], AUDIENCE)
    return TokenVerifier(KeySource(found["jwks_uri"]), claims, StepUp(300.0, (), ("mfa",)))


async def test_a_service_takes_its_tokens(server: IssuerServer) -> None:
    verifier = verifier_of(server)
    answer = asked(server, **CLERK, subject="alice").json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 900)
    alice = await verifier.verify(answer["access_token"])
    assert (alice.subject, alice.stepped_up_until) == ("alice", 0)
    assert alice.roles == {Role.ROLE_CLERK, Role.ROLE_VIEWER}
    assert alice.locations == {"W1", "W2"}
    stepped_up = await verifier.verify(asked(server, **CLERK, step_up="true").json()["access_token"])
    assert (stepped_up.subject, stepped_up.stepped_up_until > time.time()) == ("clerk-viewer", True)


async def test_a_service_of_its_own_gets_its_role_with_its_name(server: IssuerServer) -> None:
    named = base64.b64encode(f"order-service:{PASSWORD}".encode()).decode()
    async with httpx.AsyncClient(trust_env=False, headers={"authorization": f"Basic {named}"}) as http:
        answer = await http.post(f"{server.issuer}/token", data={"grant_type": "client_credentials"})
    caller = await verifier_of(server).verify(answer.json()["access_token"])
    assert caller.subject == "order-service"
    assert caller.roles == {Role.ROLE_ORDER_SERVICE}


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "client_id": "king"}, 401, "invalid_client"),
        ({"role": "king"}, 400, "invalid_scope"),
        ({"role": ""}, 400, "invalid_scope"),
        ({"subject": "a b"}, 400, "invalid_request"),
        ({"expires_in": "3601"}, 400, "invalid_request"),
        ({"expires_in": "-1"}, 400, "invalid_request"),
        ({"padding": "x" * MOST_BYTES}, 400, "invalid_request"),
    ],
)
def test_anybody_else_gets_none(
    server: IssuerServer, change: dict[str, str], status: int, error: str
) -> None:
    answer = asked(server, **CLERK | change)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert "access_token" not in answer.json()


def test_what_is_not_there_is_said(server: IssuerServer) -> None:
    assert asked(server, "/elsewhere", **CLERK).status_code == 404
    assert httpx.get(f"{server.issuer}/elsewhere", trust_env=False).status_code == 404
    assert asked(server, "/rotate").status_code == 401
    bare = httpx.post(f"{server.issuer}/token", content=b"\xff", trust_env=False)
    assert bare.json()["error"] == "invalid_request"


async def test_keys_rotate_and_tokens_live_on(server: IssuerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "PAUSE_SECONDS", 0.0)
    verifier = verifier_of(server)
    before = asked(server, **CLERK).json()["access_token"]
    await verifier.verify(before)
    assert asked(server, "/rotate", client_secret=PASSWORD).json() == {"keys": 3}
    # The next key had been published: nobody has to be asked for it.
    monkeypatch.setattr(keys, "PAUSE_SECONDS", 1e9)
    after = asked(server, **CLERK).json()["access_token"]
    await verifier.verify(after)
    assert after.split(".")[0] != before.split(".")[0]
    monkeypatch.setattr(keys, "PAUSE_SECONDS", 0.0)
    for _ in range(OLD_KEYS):
        asked(server, "/rotate", client_secret=PASSWORD)
    await verifier.verify(asked(server, **CLERK).json()["access_token"])
    with pytest.raises(CallError) as refused:
        await verifier_of(server).verify(before)
    assert refused.value.metadata == {"cause": "key"}


def test_keys_are_kept_in_private_and_rotate_by_themselves(tmp_path: Path) -> None:
    now = 0.0
    file = tmp_path / "keys.json"
    ring = KeyRing(file, every=60, clock=lambda: now)
    first = ring.signing().kid
    assert file.stat().st_mode & 0o777 == 0o600
    assert KeyRing(file, every=60, clock=lambda: now).signing().kid == first
    assert all("d" not in key for key in ring.public())
    now = 60.0
    assert ring.signing().kid == ring.public()[1]["kid"] != first


def test_it_listens_on_the_loopback_alone(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stack.issuer"],
        env={
            "INVENTORY_ISSUER_LISTEN": "0.0.0.0:0",
            "INVENTORY_ISSUER_PASSWORD": PASSWORD,
            "INVENTORY_ISSUER_KEYS_FILE": str(tmp_path / "keys.json"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "on the loopback alone" in done.stderr
    assert PASSWORD not in done.stderr


async def test_the_typed_client_gets_its_tokens_and_keeps_them(server: IssuerServer) -> None:
    source = client.IssuedTokens(f"{server.issuer}/token", CLERK)
    token = await source()
    assert await source() == token
    brief = client.IssuedTokens(f"{server.issuer}/token", CLERK | {"expires_in": "1"})
    token = await brief()
    async with asyncio.timeout(20):
        while await brief() == token:  # noqa: ASYNC110 - time alone makes another
            await asyncio.sleep(0.05)
    with pytest.raises(client.UnauthenticatedError):
        await client.IssuedTokens(f"{server.issuer}/token", {"grant_type": DEVELOPMENT_GRANT})()
    with pytest.raises(client.UnavailableError):
        await client.IssuedTokens("http://127.0.0.1:9/token", CLERK)()
