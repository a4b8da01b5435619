"""Everything a stack runs, as one table: what each part is, what it needs first and when it is ready.

A *program* is a process the supervisor keeps; a *step* is something done once between programs.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from stack import credentials, envoy_proxy, jvm, postgres_server, readiness, valkey_server
from stack.addresses import DATABASE, REGISTRY_DATABASE, Addresses
from stack.authority import spiffe_id
from stack.certificates import Certificates
from stack.errors import StackError
from stack.home import CHECKOUT, NAME_VARIABLE, Home
from stack.ports import BASE_PORT_VARIABLE, HOST
from stack.workloads import WORKLOADS

CONNECTOR = "inventory"
SLOT = "inventory"
# Longer than Envoy's interval between two health checks.
DRAIN_SECONDS = "1.5"
CONNECTOR_FILE = CHECKOUT / "cdc" / "connector" / "inventory.json"


@dataclass(frozen=True)
class Program:
    """A process of the stack."""

    name: str
    command: list[str]
    ready: readiness.Check
    needs: tuple[str, ...] = ()
    # Names of stack.ports.OFFSETS: the first is its address, all must be free before it starts.
    listeners: tuple[str, ...] = ()
    # Left out of its repr: it holds passwords.
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    # Writes configuration and makes folders; run before each start.
    prepare: Callable[[], None] | None = None
    patience: float = 150
    stop_signal: str = "TERM"
    stop_wait: int = 20
    # What it is among its like at present, where several run of which one is active.
    role: Callable[[], str] | None = None
    # Standard output is kept apart from standard error, in `<name>-access.log`.
    access_log: bool = False


@dataclass(frozen=True)
class Step:
    """Work that is done once on every `up`, and may be done again."""

    name: str
    run: Callable[[], None]
    needs: tuple[str, ...] = ()


Part = Program | Step


def parts(home: Home) -> list[Part]:
    """Return all parts of the stack, each after those it needs."""
    return [*infrastructure(home), *services(home)]


def infrastructure(home: Home) -> list[Part]:
    """Return what Inventory stands on: stores, broker, change data capture."""
    at = Addresses(home)
    passwords = credentials.load(home)
    registry_password = passwords["INVENTORY_REGISTRY_PASSWORD"]
    superuser = at.postgres_url("postgres")
    return [
        Program(
            "postgres",
            postgres_server.command(home),
            readiness.postgres(superuser),
            listeners=("postgres",),
            prepare=partial(postgres_server.prepare, home),
            # INT is the fast shutdown: it does not wait for clients to leave.
            stop_signal="INT",
            stop_wait=30,
        ),
        Program(
            "valkey",
            valkey_server.command(home),
            readiness.valkey(at.redis_url),
            listeners=("valkey",),
            prepare=partial(valkey_server.prepare, home),
        ),
        Program(
            "broker",
            jvm.broker_command(home),
            readiness.broker(at.bootstrap_servers),
            listeners=("broker", "broker_controller"),
            prepare=partial(jvm.prepare_broker, home),
            stop_wait=30,
        ),
        Step("database", partial(postgres_server.set_up, home), needs=("postgres",)),
        Step("topics", partial(_topics, at), needs=("broker",)),
        Program(
            "registry",
            jvm.registry_command(),
            readiness.http(f"{at.registry_url}/apis/ccompat/v7/subjects"),
            needs=("database",),
            listeners=("registry", "registry_management"),
            environment=jvm.registry_environment(home, registry_password, REGISTRY_DATABASE),
        ),
        Step("subjects", partial(_subjects, at), needs=("registry",)),
        Program(
            "connect",
            jvm.connect_command(home),
            readiness.http(f"{at.connect_url}/connectors"),
            needs=("topics",),
            listeners=("connect",),
            prepare=partial(jvm.prepare_connect, home),
            # What the connector's file refers to as ${env:...}.
            environment={
                "INVENTORY_CDC_DATABASE_HOST": HOST,
                "INVENTORY_CDC_DATABASE_PORT": str(home.ports["postgres"]),
                "INVENTORY_CDC_DATABASE_NAME": DATABASE,
                "INVENTORY_CDC_DATABASE_USER": "inventory_cdc",
                "INVENTORY_CDC_DATABASE_PASSWORD": passwords["INVENTORY_CDC_PASSWORD"],
                "INVENTORY_CDC_CONVERTER_REGISTRY_URL": f"{at.registry_url}/apis/registry/v2",
            },
        ),
        Program(
            "connector",
            _python("cdc", "connector"),
            readiness.every(
                readiness.connector(at.connect_url, CONNECTOR),
                readiness.replication_slot(superuser, SLOT),
            ),
            needs=("connect", "database", "subjects"),
            environment={
                "INVENTORY_CDC_CONNECT_URL": at.connect_url,
                "INVENTORY_CDC_CONNECTOR_FILE": str(CONNECTOR_FILE),
            },
        ),
    ]


def services(home: Home) -> list[Part]:
    """Return Inventory itself, the Envoys in front of it, and the certificates of both."""
    at = Addresses(home)
    workers = os.environ.get("INVENTORY_STACK_WORKERS", "1")
    certificates = Certificates(home)
    return [
        Step("certificates", certificates.ensure),
        Program(
            "rotation",
            _python("stack", "keep-certificates"),
            lambda: None if certificates.crl.exists() else "nothing is issued yet",
            needs=("certificates",),
            environment={NAME_VARIABLE: home.name, BASE_PORT_VARIABLE: str(home.ports.base)},
        ),
        Program(
            "issuer",
            _python("stack.issuer"),
            readiness.http(f"{at.issuer}/jwks", "ES256"),
            listeners=("issuer",),
            environment={
                "INVENTORY_ISSUER_LISTEN": home.ports.address("issuer"),
                "INVENTORY_ISSUER_PASSWORD": credentials.load(home)["INVENTORY_ISSUER_PASSWORD"],
                "INVENTORY_ISSUER_KEYS_FILE": str(home.config / "issuer-keys.json"),
            },
        ),
        Program(
            "command",
            _python("command_svc"),
            readiness.grpc_health(at.command, at.tls("command")),
            # After the connector: nothing may commit before somebody reads the journal.
            needs=("connector", "topics", "certificates"),
            listeners=("command", "command_metrics"),
            environment={
                "INVENTORY_COMMAND_LISTEN": at.command,
                "INVENTORY_COMMAND_DATABASE_URL": at.postgres_url("command"),
                "INVENTORY_COMMAND_AUDIT_DATABASE_URL": at.postgres_url("audit"),
                "INVENTORY_COMMAND_INTAKE_BOOTSTRAP_SERVERS": at.bootstrap_servers,
                "INVENTORY_COMMAND_WORKERS": workers,
                **_metrics(at, "command", "INVENTORY_COMMAND_"),
                "INVENTORY_COMMAND_DRAIN_SECONDS": DRAIN_SECONDS,
                **_tls(certificates, "INVENTORY_COMMAND", "command"),
                **_identity(at, "INVENTORY_COMMAND"),
            },
        ),
        _projector(at, "projector", at.projector),
        _projector(at, "projector-standby", at.projector_standby),
        Program(
            "relay",
            _python("cdc", "relay"),
            readiness.grpc_health(at.relay),
            needs=("topics", "subjects"),
            listeners=("relay", "relay_metrics"),
            environment={
                "INVENTORY_CDC_BOOTSTRAP_SERVERS": at.bootstrap_servers,
                "INVENTORY_CDC_REGISTRY_URL": f"{at.registry_url}/apis/ccompat/v7",
                "INVENTORY_CDC_LISTEN": at.relay,
                **_metrics(at, "relay", "INVENTORY_CDC_"),
            },
        ),
        Program(
            "query",
            _python("query_svc"),
            readiness.grpc_health(at.query, at.tls("query")),
            needs=("database", "valkey", "certificates"),
            listeners=("query", "query_metrics"),
            environment={
                "INVENTORY_QUERY_LISTEN": at.query,
                "INVENTORY_QUERY_REDIS_URL": at.redis_url,
                "INVENTORY_QUERY_DATABASE_URL": at.postgres_url("query"),
                "INVENTORY_QUERY_AUDIT_DATABASE_URL": at.postgres_url("audit"),
                "INVENTORY_QUERY_WORKERS": workers,
                **_metrics(at, "query", "INVENTORY_QUERY_"),
                "INVENTORY_QUERY_DRAIN_SECONDS": DRAIN_SECONDS,
                **_tls(certificates, "INVENTORY_QUERY", "query"),
                **_identity(at, "INVENTORY_QUERY"),
            },
        ),
        Program(
            "pipeline",
            _python("cdc", "pipeline"),
            readiness.grpc_health(at.pipeline, at.tls("pipeline")),
            needs=("database", "topics", "valkey", "certificates"),
            listeners=("pipeline", "pipeline_metrics"),
            environment={
                "INVENTORY_CDC_LISTEN": at.pipeline,
                **_metrics(at, "pipeline", "INVENTORY_CDC_"),
                "INVENTORY_CDC_BOOTSTRAP_SERVERS": at.bootstrap_servers,
                "INVENTORY_CDC_CONNECT_URL": at.connect_url,
                "INVENTORY_CDC_DATABASE_URL": at.postgres_url("query"),
                "INVENTORY_CDC_AUDIT_DATABASE_URL": at.postgres_url("audit"),
                "INVENTORY_CDC_REDIS_URL": at.redis_url,
                "INVENTORY_CDC_READERS": ",".join(
                    [
                        f"inventory.projector={at.projector}",
                        f"inventory.projector={at.projector_standby}",
                        f"inventory.relay={at.relay}",
                    ]
                ),
                "INVENTORY_CDC_DRAIN_SECONDS": DRAIN_SECONDS,
                **_tls(certificates, "INVENTORY_CDC", "pipeline"),
                **_identity(at, "INVENTORY_CDC"),
            },
        ),
        *(_sidecar(at, service) for service in envoy_proxy.SERVICES),
        Program(
            "edge",
            envoy_proxy.command(home, "edge"),
            readiness.every(
                readiness.http(f"{_admin(home, 'edge')}/ready", "LIVE"),
                # It has seen for itself that the services are healthy.
                *(
                    readiness.http(
                        f"{_admin(home, 'edge')}/clusters",
                        f"{service}::{home.ports.address(f'{service}_sidecar')}::health_flags::healthy",
                    )
                    for service in envoy_proxy.SERVICES
                ),
                readiness.grpc_listener(at.edge, at.tls()),
            ),
            needs=(
                *map(envoy_proxy.sidecar, envoy_proxy.SERVICES),
                "projector",
                "projector-standby",
                "issuer",
            ),
            listeners=("edge", "edge_admin"),
            prepare=partial(envoy_proxy.prepare_edge, home),
            access_log=True,
        ),
    ]


def _sidecar(at: Addresses, service: str) -> Program:
    name = envoy_proxy.sidecar(service)
    return Program(
        name,
        envoy_proxy.command(at.home, name),
        readiness.http(f"{_admin(at.home, f'{service}_sidecar')}/ready", "LIVE"),
        needs=(service, "certificates"),
        listeners=(f"{service}_sidecar", f"{service}_sidecar_admin"),
        prepare=partial(envoy_proxy.prepare_sidecar, at.home, service),
    )


def _admin(home: Home, proxy: str) -> str:
    return f"http://{home.ports.address(f'{proxy}_admin')}"


def _tls(certificates: Certificates, prefix: str, service: str) -> dict[str, str]:
    """Return what a service must be told to serve its sidecar, and nobody else."""
    identity = str(certificates.identity(service))
    return {
        f"{prefix}_TLS_CERTIFICATE": identity,
        f"{prefix}_TLS_KEY": identity,
        f"{prefix}_TLS_CA": str(certificates.ca),
        f"{prefix}_TLS_PEER": spiffe_id(service),
    }


def _projector(at: Addresses, name: str, address: str) -> Program:
    """Return one of the projectors, of which one reads and the others stand by."""
    listener = name.replace("-", "_")
    return Program(
        name,
        _python("cdc", "projector"),
        readiness.grpc_health(address),
        needs=("topics", "valkey"),
        listeners=(listener, f"{listener}_metrics"),
        environment={
            "INVENTORY_CDC_BOOTSTRAP_SERVERS": at.bootstrap_servers,
            "INVENTORY_CDC_REDIS_URL": at.redis_url,
            "INVENTORY_CDC_DATABASE_URL": at.postgres_url("query"),
            "INVENTORY_CDC_LISTEN": address,
            **_metrics(at, name, "INVENTORY_CDC_"),
        },
        role=readiness.grpc_role(address),
    )


def _metrics(at: Addresses, name: str, prefix: str) -> dict[str, str]:
    """Return where a program of Inventory's shows its metrics; several workers cannot share a page."""
    alone = os.environ.get("INVENTORY_STACK_WORKERS", "1") == "1"
    return {f"{prefix}METRICS_LISTEN": at.metrics(name)} if alone else {}


def _identity(at: Addresses, prefix: str) -> dict[str, str]:
    """Return what a service must be told to know its callers."""
    workloads = {spiffe_id(name): {"roles": [role]} for name, role in WORKLOADS.items()}
    return {
        f"{prefix}_IDENTITY_ISSUER": at.issuer,
        f"{prefix}_IDENTITY_JWKS": f"{at.issuer}/jwks",
        f"{prefix}_IDENTITY_WORKLOADS": json.dumps(workloads),
        f"{prefix}_IDENTITY_PROXIES": json.dumps([spiffe_id("edge")]),
    }


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _topics(at: Addresses) -> None:
    _run(at, "topics", {"INVENTORY_CDC_BOOTSTRAP_SERVERS": at.bootstrap_servers})


def _subjects(at: Addresses) -> None:
    _run(at, "subjects", {"INVENTORY_CDC_REGISTRY_URL": f"{at.registry_url}/apis/ccompat/v7"})


def _run(at: Addresses, name: str, environment: dict[str, str]) -> None:
    """Run a subcommand of change data capture to its end; its output becomes its log."""
    done = subprocess.run(  # noqa: S603
        _python("cdc", name),
        env=os.environ | environment,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    at.home.log(name).write_text(done.stdout + done.stderr)
    if done.returncode:
        raise StackError(f"`cdc {name}` failed:\n{(done.stdout + done.stderr)[-2000:]}")
