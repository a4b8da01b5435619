"""Where every listener of a stack is: one base port and fixed offsets, all on the loopback interface."""

import os
from dataclasses import dataclass

HOST = "127.0.0.1"
DEFAULT_BASE_PORT = 7400
BASE_PORT_VARIABLE = "INVENTORY_STACK_BASE_PORT"

# A stack takes the ports from its base up to, not including, base + SPAN.
SPAN = 60
ALLOWED = range(1024, 65536 - SPAN)
MOST_REPLICAS = 3

OFFSETS = {
    # The one address of callers, so it is the one that is easy to remember.
    "edge": 0,
    "edge_admin": 1,
    "command": 2,
    "query": 3,
    "projector": 4,
    "postgres": 5,
    "valkey": 6,
    "broker": 7,
    "broker_controller": 8,
    "broker_admin": 9,
    "registry": 10,
    "registry_management": 11,
    "connect": 12,
    "supervisor": 13,
    "relay": 14,
    "pipeline": 15,
    "command_sidecar": 16,
    "command_sidecar_admin": 17,
    "query_sidecar": 18,
    "query_sidecar_admin": 19,
    "pipeline_sidecar": 20,
    "pipeline_sidecar_admin": 21,
    "audit": 22,
    "issuer": 30,
    "projector_standby": 31,
    "command_metrics": 32,
    "query_metrics": 33,
    "projector_metrics": 34,
    "projector_standby_metrics": 35,
    "relay_metrics": 36,
    "pipeline_metrics": 37,
    # The others are kept free for the services to come.
    **{
        name: 40 + offset
        for offset, name in enumerate(
            f"{service}_{number}{listener}"
            for number in range(2, MOST_REPLICAS + 1)
            for service in ("command", "query")
            for listener in ("", "_metrics", "_sidecar", "_sidecar_admin")
        )
    },
}


@dataclass(frozen=True)
class Ports:
    """The ports of one stack."""

    base: int

    def __getitem__(self, listener: str) -> int:
        """Return the port of a listener named in OFFSETS, by `_` or `-`; an unknown name is a KeyError."""
        return self.base + OFFSETS[listener.replace("-", "_")]

    def address(self, listener: str) -> str:
        """Return `host:port` of a listener named in OFFSETS."""
        return f"{HOST}:{self[listener]}"


def from_environment() -> Ports:
    """Return the ports chosen by INVENTORY_STACK_BASE_PORT, or the default ones.

    Raises ValueError, naming the variable, when it does not hold a usable base port.
    """
    text = os.environ.get(BASE_PORT_VARIABLE, str(DEFAULT_BASE_PORT))
    if not text.isdecimal() or int(text) not in ALLOWED:
        raise ValueError(f"{BASE_PORT_VARIABLE}={text!r}: expected a port from {ALLOWED[0]} to {ALLOWED[-1]}")
    return Ports(int(text))
