"""A page in a real browser calls by gRPC-Web, if its origin may."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.installed import installed
from tests.integration.mesh.conftest import ORIGIN
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack
METHOD = "/inventory.query.v1.CatalogQueryService/ListItems"
# A message of gRPC-Web is a byte of flags, four of length, and the bytes; the last frame has the trailers.
PAGE = """<!doctype html><body>waiting<script>
const headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "authorization": TOKEN};
const show = result => { document.body.textContent = JSON.stringify(result); };
fetch(ADDRESS, {method: "POST", headers, body: new Uint8Array([0, 0, 0, 0, 4, 0x7a, 2, 0x10, 1])})
  .then(async answer => show({
    status: answer.headers.get("grpc-status"),
    body: new TextDecoder().decode(await answer.arrayBuffer()),
  }))
  .catch(error => show({error: error.name}));
</script>"""


@pytest.fixture(scope="module")
def browser() -> str:
    """Give the program, installed where that can be done."""
    return installed("chromium")


@pytest.fixture
def page() -> Iterator[dict[str, str]]:
    """Serve a page at the origin's port; its text is the value of "text"."""
    held = {"text": ""}

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(held["text"].encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", urlsplit(ORIGIN).port or 80), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield held
        server.shutdown()


def shown(browser: str, address: str, profile: Path) -> dict[str, str]:
    """Return what the page shows in the end."""
    options = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors"),
        *(
            "--disable-dev-shm-usage",
            f"--user-data-dir={profile}",
            "--virtual-time-budget=20000",
            "--dump-dom",
        ),
    ]
    done = subprocess.run(  # noqa: S603
        [browser, *options, address], capture_output=True, text=True, check=True, timeout=100
    )
    found = re.search(r"<body>(.*)</body>", done.stdout, re.DOTALL)
    assert found, done.stdout
    result: dict[str, str] = json.loads(unescape(found[1]))
    return result


def test_a_page_calls_from_an_allowed_origin_alone(
    mesh: RunningStack, browser: str, page: dict[str, str], tmp_path: Path
) -> None:
    def load(authorization: str, address: str) -> dict[str, str]:
        text = PAGE.replace("TOKEN", json.dumps(authorization))
        page["text"] = text.replace("ADDRESS", json.dumps(f"https://{mesh.edge}{METHOD}"))
        return shown(browser, address, tmp_path)

    token = dict(mesh.metadata("page", "viewer"))["authorization"]
    assert "grpc-status:0" in load(token, ORIGIN)["body"]
    assert load("Bearer x", ORIGIN)["status"] == "16"
    # The same page, by another name.
    assert load(token, ORIGIN.replace("localhost", "127.0.0.1")) == {"error": "TypeError"}
