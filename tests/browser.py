"""A page in a real browser that calls by gRPC-Web and shows what came of it."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path

from tests.installed import installed

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


class Page:
    """What is served at a port of the loopback."""

    def __init__(self) -> None:
        self.text = ""

    def calls(self, address: str, authorization: str) -> None:
        """Have the page call ListItems there, by what it brings as its token."""
        text = PAGE.replace("TOKEN", json.dumps(authorization))
        self.text = text.replace("ADDRESS", json.dumps(f"https://{address}{METHOD}"))


@contextlib.contextmanager
def served(port: int) -> Iterator[Page]:
    """Serve a page."""
    page = Page()

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(page.text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield page
        server.shutdown()


def shown(address: str, profile: Path, *options: str) -> dict[str, str]:
    """Return what a page shows in the end."""
    always = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors"),
        *("--disable-dev-shm-usage", f"--user-data-dir={profile}", "--virtual-time-budget=20000"),
        "--dump-dom",
    ]
    done = subprocess.run(  # noqa: S603
        [installed("chromium"), *always, *options, address],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    found = re.search(r"<body>(.*)</body>", done.stdout, re.DOTALL)
    assert found, done.stdout
    result: dict[str, str] = json.loads(unescape(found[1]))
    return result
