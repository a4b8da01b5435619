"""`python -m command_svc`: serve the commands until SIGTERM."""

from __future__ import annotations

from command_svc.config import CommandSettings
from command_svc.server import assemble
from serving import logs, server, settings, workers


def main() -> None:
    """Read the settings, then serve, in several processes if asked."""
    config = settings.load(CommandSettings)
    logs.configure(config.log_level, "command_svc")
    workers.run(config, lambda: server.run(lambda: assemble(config)))


if __name__ == "__main__":
    main()
