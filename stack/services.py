"""Inventory itself, the Envoys in front of it, and the certificates of both."""

import json
import os
from functools import partial

from stack import credentials, envoy_proxy, readiness
from stack.addresses import Addresses
from stack.authority import spiffe_id
from stack.certificates import Certificates
from stack.home import NAME_VARIABLE, REPLICAS_VARIABLE, Home
from stack.parts import Part, Program, Step, python
from stack.ports import BASE_PORT_VARIABLE
from stack.workloads import WORKLOADS

# Longer than Envoy's interval between two health checks.
DRAIN_SECONDS = "1.5"


def services(home: Home) -> list[Part]:
    """Return those parts, each after those it needs."""
    at = Addresses(home)
    certificates = Certificates(home)
    return [
        Step("certificates", certificates.ensure),
        Program(
            "rotation",
            python("stack", "keep-certificates"),
            lambda: None if certificates.crl.exists() else "nothing is issued yet",
            needs=("certificates",),
            environment={NAME_VARIABLE: home.name, BASE_PORT_VARIABLE: str(home.ports.base)},
        ),
        Program(
            "issuer",
            python("stack.issuer"),
            readiness.http(f"{at.issuer}/jwks", "ES256"),
            listeners=("issuer",),
            environment={
                "INVENTORY_ISSUER_LISTEN": home.ports.address("issuer"),
                "INVENTORY_ISSUER_PASSWORD": credentials.load(home)["INVENTORY_ISSUER_PASSWORD"],
                "INVENTORY_ISSUER_KEYS_FILE": str(home.config / "issuer-keys.json"),
            },
        ),
        *(_command(at, name) for name in envoy_proxy.replicas(home, "command")),
        _receiver(at),
        _projector(at, "projector", at.projector),
        _projector(at, "projector-standby", at.projector_standby),
        Program(
            "relay",
            python("cdc", "relay"),
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
        *(_query(at, name) for name in envoy_proxy.replicas(home, "query")),
        Program(
            "pipeline",
            python("cdc", "pipeline"),
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
                **tls(at, "INVENTORY_CDC", "pipeline"),
                **identity(at, "INVENTORY_CDC"),
            },
        ),
        *(
            _sidecar(at, service, name)
            for service in envoy_proxy.SERVICES
            for name in envoy_proxy.replicas(home, service)
        ),
        Program(
            "edge",
            envoy_proxy.command(home, "edge"),
            readiness.every(
                readiness.http(f"{_admin(home, 'edge')}/ready", "LIVE"),
                # It has seen for itself that the services are healthy.
                *(
                    readiness.http(
                        f"{_admin(home, 'edge')}/clusters",
                        f"{service}::{home.ports.address(envoy_proxy.sidecar(name))}::health_flags::healthy",
                    )
                    for service in envoy_proxy.SERVICES
                    for name in envoy_proxy.replicas(home, service)
                ),
                readiness.grpc_listener(at.edge, at.tls()),
            ),
            needs=(
                *map(envoy_proxy.sidecar, envoy_proxy.all_replicas(home)),
                "projector",
                "projector-standby",
                "issuer",
            ),
            listeners=("edge", "edge_admin"),
            # Another number is another configuration: a running edge is restarted with it.
            environment={REPLICAS_VARIABLE: str(home.replicas)},
            prepare=partial(envoy_proxy.prepare_edge, home),
            access_log=True,
        ),
    ]


def tls(at: Addresses, prefix: str, service: str) -> dict[str, str]:
    """Return what a service must be told to serve its sidecar, and nobody else."""
    certificates = Certificates(at.home)
    file = str(certificates.identity(service))
    return {
        f"{prefix}_TLS_CERTIFICATE": file,
        f"{prefix}_TLS_KEY": file,
        f"{prefix}_TLS_CA": str(certificates.ca),
        f"{prefix}_TLS_PEER": spiffe_id(service),
    }


def identity(at: Addresses, prefix: str) -> dict[str, str]:
    """Return what a service must be told to know its callers."""
    workloads = {spiffe_id(name): {"roles": [role]} for name, role in WORKLOADS.items()}
    return {
        f"{prefix}_IDENTITY_ISSUER": at.issuer,
        f"{prefix}_IDENTITY_JWKS": f"{at.issuer}/jwks",
        f"{prefix}_IDENTITY_WORKLOADS": json.dumps(workloads),
        f"{prefix}_IDENTITY_PROXIES": json.dumps([spiffe_id("edge")]),
    }


def _command(at: Addresses, name: str) -> Program:
    """Return a command service: the only one, or one of its replicas."""
    address = at.home.ports.address(name)
    return Program(
        name,
        python("command_svc"),
        readiness.grpc_health(address, at.tls("command")),
        # After the connector: nothing may commit before somebody reads the journal.
        needs=("connector", "topics", "certificates"),
        listeners=(name, f"{name}-metrics"),
        environment={
            "INVENTORY_COMMAND_LISTEN": address,
            "INVENTORY_COMMAND_DATABASE_URL": at.postgres_url("command"),
            "INVENTORY_COMMAND_AUDIT_DATABASE_URL": at.postgres_url("audit"),
            "INVENTORY_COMMAND_INTAKE_BOOTSTRAP_SERVERS": at.bootstrap_servers,
            "INVENTORY_COMMAND_INTAKE_WORKLOAD": json.dumps({"roles": ["administrator"]}),
            "INVENTORY_COMMAND_WORKERS": _workers(),
            **_metrics(at, name, "INVENTORY_COMMAND_"),
            "INVENTORY_COMMAND_DRAIN_SECONDS": DRAIN_SECONDS,
            **tls(at, "INVENTORY_COMMAND", "command"),
            **identity(at, "INVENTORY_COMMAND"),
        },
    )


def _query(at: Addresses, name: str) -> Program:
    """Return a query service: the only one, or one of its replicas."""
    address = at.home.ports.address(name)
    return Program(
        name,
        python("query_svc"),
        readiness.grpc_health(address, at.tls("query")),
        needs=("database", "valkey", "certificates"),
        listeners=(name, f"{name}-metrics"),
        environment={
            "INVENTORY_QUERY_LISTEN": address,
            "INVENTORY_QUERY_REDIS_URL": at.redis_url,
            "INVENTORY_QUERY_DATABASE_URL": at.postgres_url("query"),
            "INVENTORY_QUERY_AUDIT_DATABASE_URL": at.postgres_url("audit"),
            "INVENTORY_QUERY_WORKERS": _workers(),
            **_metrics(at, name, "INVENTORY_QUERY_"),
            "INVENTORY_QUERY_DRAIN_SECONDS": DRAIN_SECONDS,
            **tls(at, "INVENTORY_QUERY", "query"),
            **identity(at, "INVENTORY_QUERY"),
        },
    )


def _receiver(at: Addresses) -> Program:
    """Return the receiver of what the proxies refuse."""
    return Program(
        "audit",
        python("audit"),
        readiness.grpc_health(at.audit, at.tls("audit")),
        needs=("database", "certificates"),
        listeners=("audit",),
        environment={
            "INVENTORY_AUDIT_LISTEN": at.audit,
            "INVENTORY_AUDIT_DATABASE_URL": at.postgres_url("refusals"),
            "INVENTORY_AUDIT_PROXIES": json.dumps(
                [spiffe_id(name) for name in ("edge", *envoy_proxy.SERVICES)]
            ),
            "INVENTORY_AUDIT_WINDOW_SECONDS": "1",
            **tls(at, "INVENTORY_AUDIT", "audit"),
        },
    )


def _sidecar(at: Addresses, service: str, replica: str) -> Program:
    name = envoy_proxy.sidecar(replica)
    return Program(
        name,
        envoy_proxy.command(at.home, name),
        readiness.http(f"{_admin(at.home, name)}/ready", "LIVE"),
        needs=(replica, "certificates"),
        listeners=(name, f"{name}-admin"),
        prepare=partial(envoy_proxy.prepare_sidecar, at.home, service, replica),
    )


def _admin(home: Home, proxy: str) -> str:
    return f"http://{home.ports.address(f'{proxy}-admin')}"


def _projector(at: Addresses, name: str, address: str) -> Program:
    """Return one of the projectors, of which one reads and the others stand by."""
    listener = name.replace("-", "_")
    return Program(
        name,
        python("cdc", "projector"),
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


def _workers() -> str:
    return os.environ.get("INVENTORY_STACK_WORKERS", "1")


def _metrics(at: Addresses, name: str, prefix: str) -> dict[str, str]:
    """Return where a program of Inventory's shows its metrics; several workers cannot share a page."""
    alone = _workers() == "1"
    return {f"{prefix}METRICS_LISTEN": at.metrics(name)} if alone else {}
