"""`python -m audit`: receive the refusals of proxies until SIGTERM."""

from __future__ import annotations

from audit.receiver.config import ReceiverSettings
from audit.receiver.server import assemble
from serving import logs, server, settings


def main() -> None:
    """Read the settings, then serve."""
    config = settings.load(ReceiverSettings)
    logs.configure(config.log_level, "audit")
    server.run(lambda: assemble(config))


if __name__ == "__main__":
    main()
