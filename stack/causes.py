"""What probably went wrong: the tell-tale lines of a failed process's log, said in plain words."""

import errno
import socket
from pathlib import Path

from stack.home import Home
from stack.ports import BASE_PORT_VARIABLE, HOST

TAIL = 25

# The first text found in the log's last lines explains it; so the more special ones come first.
CAUSES = (
    ("No module named", "a Python module is missing: run `make venv`"),
    (
        "Address already in use",
        f"a port is in use: stop what uses it, or choose other ports with {BASE_PORT_VARIABLE}",
    ),
    (
        "Address in use",
        f"a port is in use: stop what uses it, or choose other ports with {BASE_PORT_VARIABLE}",
    ),
    (
        "already bound",
        f"a port is in use: stop what uses it, or choose other ports with {BASE_PORT_VARIABLE}",
    ),
    ("No space left on device", "the disk is full"),
    ("could not resize shared memory", "the machine's shared memory (/dev/shm) is too small"),
    ("Cannot allocate memory", "the machine has not enough memory"),
    ("OutOfMemoryError", "a JVM has not enough memory"),
    (
        "database files are incompatible",
        "the data is of another PostgreSQL version: `make clean` starts afresh",
    ),
    ("Invalid cluster.id", "the broker's data is of another cluster: `make clean` starts afresh"),
    ("ClassNotFoundException", "a jar is missing: remove .stack/jars and try again"),
    ("UnsupportedClassVersionError", "a jar needs a newer Java than the bundled one"),
    (
        "password authentication failed",
        "secrets.env and the data directory do not belong together: `make clean`",
    ),
    ("Permission denied", "a file belongs to another user: was the stack last started by root?"),
    ("is not set", "a setting is missing"),
)


def last_lines(log: Path) -> list[str]:
    """Return the last lines of a log, none if there is no such file."""
    return log.read_text(errors="replace").splitlines()[-TAIL:] if log.exists() else []


def likely(log: Path) -> str | None:
    """Return the likely cause that the end of a log points to, or None."""
    text = "\n".join(last_lines(log))
    return next((cause for sign, cause in CAUSES if sign in text), None)


def taken_port(home: Home, listeners: tuple[str, ...]) -> str | None:
    """Return what is wrong when one of these listeners' ports is in use by somebody else, or None."""
    for listener in listeners:
        port = home.ports[listener]
        with socket.socket() as probe:
            # As every server does: a port whose last user left a moment ago is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                return (
                    f"port {port} ({listener}) is in use by another process:"
                    f" stop it, or choose other ports with {BASE_PORT_VARIABLE}"
                )
    return None
