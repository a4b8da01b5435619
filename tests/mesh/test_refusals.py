"""What the proxies of the mesh refuse is in the audit log: once, and who it was."""

from __future__ import annotations

import uuid
from typing import NamedTuple

import httpx
import psycopg

from tests.mesh.processes import wait_for
from tests.mesh.world import ADD_STOCK, GET_LEVEL, World

WATCH = "/inventory.query.v1.StockQueryService/WatchStock"


class Found(NamedTuple):
    """An entry, without its times."""

    method: str
    verdict: str
    actor: str
    proof: str
    calls: int


def _entries(world: World, name: str) -> list[Found]:
    """Return the entries that name a call."""
    with psycopg.connect(world.stack.postgres_url("query")) as connection:
        rows = connection.execute(
            "SELECT method, verdict, actor, proof, calls FROM audit_log WHERE trace_id = %s", [name]
        ).fetchall()
    return [Found(*row) for row in rows]


def _refused(world: World, method: str, token: str | None = None) -> str:
    """Make a call that is refused; return the id by which it is found."""
    name = f"call-{uuid.uuid4()}"
    assert world.call(method, token, x_request_id=name).status in {"UNAUTHENTICATED", "PERMISSION_DENIED"}
    return name


def _asked(web: httpx.Client, verb: str, address: str, **headers: str) -> str:
    """Ask something that is refused by HTTP; return the id by which it is found."""
    name = f"call-{uuid.uuid4()}"
    answer = web.request(verb, address, headers={"x-request-id": name, **headers})
    assert answer.is_client_error, answer
    return name


def test_a_call_refused_by_a_proxy_is_one_entry(world: World) -> None:
    ann = world.token(roles=["viewer"], sub="ann")
    gateway = _refused(world, GET_LEVEL)
    sidecar = _refused(world, ADD_STOCK, ann)
    forged = _refused(world, WATCH, ann[:-8] + "AAAAAAAA")
    wait_for(
        "the entries",
        lambda: all(_entries(world, name) for name in (gateway, sidecar, forged)),
        told=lambda: str([_entries(world, name) for name in (gateway, sidecar, forged)]),
    )
    # Whatever else a proxy would have to say of them, it says before it says this.
    last = [_refused(world, GET_LEVEL), _refused(world, ADD_STOCK, ann)]
    wait_for("the last entries", lambda: all(_entries(world, name) for name in last))

    assert _entries(world, gateway) == [Found(GET_LEVEL[1:], "UNAUTHENTICATED", "", "none", 1)]
    assert _entries(world, sidecar) == [Found(ADD_STOCK[1:], "PERMISSION_DENIED", "ann", "token", 1)]
    # What a token says that nobody has proved, nobody has said.
    assert _entries(world, forged) == [Found(WATCH[1:], "UNAUTHENTICATED", "", "none", 1)]


def test_what_is_refused_of_json_is_one_entry_of_its_method(world: World, web: httpx.Client) -> None:
    ann = {"authorization": f"Bearer {world.token(roles=['viewer'], sub='ann')}"}
    nobody = _asked(web, "GET", "/v1/items/A/stock/B")
    role = _asked(web, "POST", "/v1/stock:add", **ann)
    # What is no call has no method, and nobody has been asked who it is.
    nowhere = _asked(web, "GET", "/v1/nowhere/me@example.com", **ann)
    expected = {
        nobody: Found(GET_LEVEL[1:], "UNAUTHENTICATED", "", "none", 1),
        role: Found(ADD_STOCK[1:], "PERMISSION_DENIED", "ann", "token", 1),
        nowhere: Found("", "ADDRESS_NOT_FOUND", "ann", "token", 1),
    }
    wait_for(
        "the entries",
        lambda: all(_entries(world, name) for name in expected),
        told=lambda: str([_entries(world, name) for name in expected]),
    )
    assert {name: _entries(world, name) for name in expected} == {
        name: [entry] for name, entry in expected.items()
    }
