"""What a person is shown of a stack: its processes, and where to find everything."""

from collections.abc import Iterable, Mapping

from rich.table import Table

from stack import envoy_proxy
from stack.addresses import Addresses
from stack.certificates import Certificates
from stack.home import CHECKOUT, Home
from stack.parts import Program
from stack.supervisor import State


def processes(home: Home, programs: Iterable[Program], states: Mapping[str, State]) -> Table:
    """Return the table of the programs, with how each stands."""
    table = Table("process", "state", "role", "pid", "uptime", "address", title=f"stack {home.name}")
    for program in programs:
        one = states[program.name]
        address = home.ports.address(program.listeners[0]) if program.listeners else ""
        minutes, seconds = divmod(one.uptime, 60)
        pid = str(one.pid) if one.pid else ""
        role = program.role() if program.role and one.state == "RUNNING" else ""
        table.add_row(
            one.name, one.state, role, pid, f"{minutes}:{seconds:02}" if one.uptime else "", address
        )
    return table


def addresses(home: Home) -> Table:
    """Return the table of the addresses, and of the files that one needs for them."""
    at = Addresses(home)
    table = Table("what", "address", title=f"stack {home.name}")
    others = ", ".join(
        f"{at.metrics(name).rpartition(':')[2]} ({name})"
        for name in (*envoy_proxy.all_replicas(home), "projector", "projector-standby", "relay")
        if name != "pipeline"
    )
    rows = {
        "gRPC, all services": f"https://{at.edge}",
        "its authority (--cacert)": str(Certificates(home).ca.relative_to(CHECKOUT)),
        "a certificate of your own": "make certificate NAME=order-service",
        "the edge's admin page": f"http://{home.ports.address('edge_admin')}",
        "PostgreSQL": home.ports.address("postgres"),
        "Valkey": at.redis_url,
        "Kafka broker": at.bootstrap_servers,
        "Kafka Connect": at.connect_url,
        "schema registry": at.registry_url,
        "issuer of tokens": at.issuer,
        "metrics": f"http://{at.metrics('pipeline')}/metrics, and {others}",
        "passwords": str(home.folder / "secrets.env"),
        "logs": str(home.logs),
    }
    for what, address in rows.items():
        table.add_row(what, address)
    return table
