"""`python -m query_svc`: serve the queries until SIGTERM."""

from __future__ import annotations

from query_svc.config import QuerySettings
from query_svc.server import assemble
from serving import logs, server, settings, workers


def main() -> None:
    """Read the settings, then serve, in several processes if asked."""
    config = settings.load(QuerySettings)
    logs.configure(config.log_level, "query_svc")
    workers.run(config, lambda: server.run(lambda: assemble(config)))


if __name__ == "__main__":
    main()
