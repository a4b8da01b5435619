"""A cluster of three Redis or Valkey servers of a test's own, of which any may be hurt."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from redis import Redis
from redis import RedisCluster as RedisClusterClient
from redis.exceptions import RedisError

from tests.ports import free_port
from tests.redis_server import RedisServer, redis_server

PRIMARIES = 3
SLOTS = 16384
PATIENCE = 30.0


class Client(RedisClusterClient):
    """A client that closes its connections with itself; the library leaves them to the garbage collector."""

    def close(self) -> None:
        """Close every connection to every node."""
        self.disconnect_connection_pools()  # type: ignore[no-untyped-call]
        super().close()


class RedisCluster:
    """Three primaries on loopback that share the slots, and `replicas` of the first of them."""

    def __init__(self, nodes: list[RedisServer]) -> None:
        self.primaries, self.replicas = nodes[:PRIMARIES], nodes[PRIMARIES:]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.primaries)

    @property
    def nodes(self) -> list[RedisServer]:
        """All servers there are."""
        return [*self.primaries, *self.replicas]

    def meet(self) -> None:
        """Make a cluster of the nodes, and wait until all of them know it to be whole."""
        first = self.primaries[0]
        bounds = [SLOTS * number // PRIMARIES for number in range(PRIMARIES + 1)]
        for node, start, end in zip(self.primaries, bounds, bounds[1:], strict=False):
            with node.client() as client:
                client.execute_command("CLUSTER ADDSLOTSRANGE", start, end - 1)
                client.execute_command("CLUSTER MEET", "127.0.0.1", first.port, first.options["cluster-port"])
        for replica in self.replicas:
            with replica.client() as client:
                client.execute_command("CLUSTER MEET", "127.0.0.1", first.port, first.options["cluster-port"])
        until(lambda: all(_info(node, "cluster_known_nodes") == str(len(self.nodes)) for node in self.nodes))
        with first.client() as client:
            name = client.execute_command("CLUSTER MYID").decode()
        for replica in self.replicas:
            with replica.client() as client:
                until(partial(_replicates, client, name))
                until(partial(_in_sync, client))
        until(lambda: all(_info(node, "cluster_state") == "ok" for node in self.nodes))

    def kill(self) -> None:
        """End all of it by SIGKILL."""
        for node in self.nodes:
            node.kill()

    def start(self) -> None:
        """Start all of it again; without persistence it knows nothing of what it was."""
        for node in self.nodes:
            node.start()
        self.meet()

    def client(self) -> RedisClusterClient:
        """Return a client that answers in bytes; close it."""
        return Client.from_url(f"redis://127.0.0.1:{self.primaries[-1].port}", socket_timeout=10)


Servers = RedisServer | RedisCluster


@contextmanager
def redis_cluster(binary: Path, folder: Path, *, replicas: int = 0) -> Iterator[RedisCluster]:
    """Run a cluster; a primary that is gone is given up after a second."""
    with ExitStack() as running:
        nodes = []
        for number in range(PRIMARIES + replicas):
            home = folder / f"node-{number}"
            home.mkdir()
            options = {
                "cluster-enabled": "yes",
                "cluster-port": str(free_port()),
                "cluster-node-timeout": "1000",
                "repl-diskless-sync-delay": "0",
            }
            nodes.append(running.enter_context(redis_server(binary, home, options)))
        cluster = RedisCluster(nodes)
        cluster.meet()
        yield cluster


def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it has not come true"
        time.sleep(0.02)


def _info(node: RedisServer, name: str) -> str:
    with node.client() as client:
        found: dict[str, str] = client.execute_command("CLUSTER INFO")
    return found[name]


def _replicates(client: Redis, name: str) -> bool:
    """Make a node the replica of another; False where it does not know that one yet."""
    try:
        client.execute_command("CLUSTER REPLICATE", name)  # type: ignore[no-untyped-call]
    except RedisError:
        return False
    return True


def _in_sync(client: Redis) -> bool:
    return bool(client.info("replication")["master_link_status"] == "up")
