"""How to reach Redis."""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

CONNECTIONS = 4


def open_redis(url: str, timeout: float) -> Redis:
    """Return a client of the Redis at `url` (redis://HOST:PORT/DB); nothing is connected yet.

    Connecting, each answer and the wait for one of CONNECTIONS connections take at most `timeout` seconds
    each. A connection that broke is replaced once, at once: a restart of Redis costs no failed call, and a
    Redis that is away is reported without a wait.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        protocol=3,  # answers a hash as a map
        max_connections=CONNECTIONS,
        timeout=timeout,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 1),
    )
    # Owned by the client, so that closing it closes the connections.
    return Redis.from_pool(pool)
