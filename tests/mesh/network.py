"""Pods' networks: namespaces joined by a bridge in another; the host is one more neighbour on it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

PREFIX = "inventory-mesh-"
CONTROL = PREFIX + "control"
NETWORK = "10.201.0"
CONTROL_ADDRESS = f"{NETWORK}.1"
HOST_ADDRESS = f"{NETWORK}.254"
HOST_INTERFACE = "inventory-mesh"
ENDING_SECONDS = 10.0


class NetworkError(Exception):
    """The networks cannot be made."""


def run(*command: str, given: str | None = None) -> str:
    """Run a command to its end and return what it prints; NetworkError with its complaint if it fails."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise NetworkError(f"{' '.join(command)}:\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
    return done.stdout


def inside(name: str, *command: str) -> list[str]:
    """Return a command that runs another one inside a namespace."""
    return ["ip", "netns", "exec", name, *command]


@contextlib.contextmanager
def networks() -> Iterator[None]:
    """Make the namespace of the control plane, and remove it and those of all pods at the end."""
    remove()
    try:
        run("ip", "netns", "add", CONTROL)
        _in(CONTROL, "link", "set", "lo", "up")
        _in(CONTROL, "link", "add", "bridge", "type", "bridge")
        _in(CONTROL, "address", "add", f"{CONTROL_ADDRESS}/24", "dev", "bridge")
        _in(CONTROL, "link", "set", "bridge", "up")
        run("ip", "link", "add", HOST_INTERFACE, "type", "veth", "peer", "name", "host", "netns", CONTROL)
        run("ip", "address", "add", f"{HOST_ADDRESS}/24", "dev", HOST_INTERFACE)
        run("ip", "link", "set", HOST_INTERFACE, "up")
        _in(CONTROL, "link", "set", "host", "master", "bridge", "up")
        yield
    finally:
        remove()


def add_pod(name: str, address: str, hosts: Mapping[str, str]) -> str:
    """Make the namespace of a pod that knows some names; return the namespace's own."""
    namespace = PREFIX + name
    folder = Path("/etc/netns") / namespace
    folder.mkdir(parents=True, exist_ok=True)
    names = {"localhost": "127.0.0.1", **hosts}
    (folder / "hosts").write_text("".join(f"{where} {known}\n" for known, where in names.items()))
    # What is asked of a name server is refused at once, rather than waited for.
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    run("ip", "netns", "add", namespace)
    _in(namespace, "link", "set", "lo", "up")
    run("ip", "-n", namespace, "link", "add", "eth0", "type", "veth", "peer", "name", name, "netns", CONTROL)
    _in(CONTROL, "link", "set", name, "master", "bridge", "up")
    _in(namespace, "address", "add", f"{address}/24", "dev", "eth0")
    _in(namespace, "link", "set", "eth0", "up")
    # Addresses of services lie beyond; the sidecar takes what goes there.
    _in(namespace, "route", "add", "default", "via", CONTROL_ADDRESS)
    return namespace


def remove() -> None:
    """Remove every namespace of ours with all that runs in it, those that another run has left, too."""
    listed = run("ip", "netns", "list").splitlines()
    ours = [name for line in listed if (name := line.partition(" ")[0]).startswith(PREFIX)]
    for name in ours:
        _end_all(name)
        run("ip", "netns", "delete", name)
        folder = Path("/etc/netns") / name
        for file in folder.glob("*"):
            file.unlink()
        if folder.exists():
            folder.rmdir()
    # It goes with the namespace of its other end, a moment later.
    interface = Path("/sys/class/net") / HOST_INTERFACE
    deadline = time.monotonic() + ENDING_SECONDS
    while interface.exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def _end_all(namespace: str) -> None:
    deadline = time.monotonic() + ENDING_SECONDS
    while running := run("ip", "netns", "pids", namespace).split():
        for number in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)
        if time.monotonic() > deadline:
            raise NetworkError(f"processes {running} in {namespace} cannot be ended")
        time.sleep(0.05)


def _in(namespace: str, *arguments: str) -> None:
    run("ip", "-n", namespace, *arguments)
