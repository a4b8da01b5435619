"""The whole: production as its overlay says, on a real API server, with our own services in pods."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import sys
import threading
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.deploy.manifests import Manifest, containers_of, named, of_kind, overlay, pod_of, render
from tests.door import Door
from tests.mesh.builds import Programs
from tests.mesh.calls import Outcome, call
from tests.mesh.control_plane import ControlPlane
from tests.mesh.network import HOST_ADDRESS
from tests.mesh.pods import Pod, Pods, probed
from tests.mesh.processes import Processes, wait_for
from tests.stack_fixture import RunningStack
from tests.unit.serving.issuing import Issuer

PUBLIC = "inventory.example.com"
OURS, STORES, INGRESS = "inventory", "inventory-data", "istio-ingress"
PORT = 50051
ADD_STOCK = "/inventory.command.v1.StockCommandService/AddStock"
STREAM_STOCK = "/inventory.command.v1.StockCommandService/StreamStock"
GET_LEVEL = "/inventory.query.v1.StockQueryService/GetStockLevel"
POSTGRES, VALKEY = "postgres-rw.inventory-data.svc", "valkey-0.valkey.inventory-data.svc"


@dataclass
class World:
    """What runs, and the ways in."""

    control: ControlPlane
    pods: Pods
    issuer: Issuer
    stack: RunningStack
    manifests: list[Manifest]
    gateway: Pod
    command: Pod
    query: Pod
    canary: Pod
    pipeline: Pod
    audit: Pod
    channel: grpc.Channel
    authority: Path

    @property
    def token_issuer(self) -> str:
        """The issuer that the mesh and the services trust."""
        found = of_kind(self.manifests, "RequestAuthentication")[0]
        issuer: str = found["spec"]["jwtRules"][0]["issuer"]
        return issuer

    def token(self, **claims: Any) -> str:  # noqa: ANN401 - whatever a token may say
        """Return a token of the trusted issuer."""
        return self.issuer.token(None, None, **{"iss": self.token_issuer, **claims})

    def call(self, method: str, token: str | None = None, request: bytes = b"", **headers: str) -> Outcome:
        """Call through the gateway."""
        metadata = [(key.replace("_", "-"), value) for key, value in headers.items()]
        if token is not None:
            metadata.append(("authorization", f"Bearer {token}"))
        return call(self.channel, method, metadata=metadata, request=request)

    @property
    def denied(self) -> int:
        """How many calls the proxies, and no service, have refused by policy."""
        pods = (self.gateway, self.command, self.query, self.canary, self.pipeline)
        return sum(
            count for pod in pods for name, count in pod.counters.items() if name.endswith(".rbac.denied")
        )

    def wait_until_reached(self, method: str) -> None:
        """Wait until the service answers a call of nothing as it should."""

        def outcome() -> Outcome:
            return self.call(method, self.token(roles=["administrator"]))

        wait_for(
            f"the way to {method}",
            lambda: outcome().status == "INVALID_ARGUMENT",
            told=lambda: str(outcome()),
        )

    def serve(self, name: str) -> None:
        """Run the program of a pod, as its manifest says, and wait until its probe succeeds."""
        pod: Pod = getattr(self, name)
        self.serve_as(pod.name, pod)

    def serve_as(self, deployment: str, pod: Pod) -> None:
        """Run in a pod what the manifest of a deployment says, and wait until its probe succeeds."""
        container = _container(self.manifests, deployment)
        environment = _environment(self.manifests, container) | self._own(container["name"])
        command = [sys.executable, *container["args"]]
        self.pods.run(pod, command, environment)
        wait_for(
            f"the probe of {pod.name}",
            lambda: probed(pod, container["name"]),
            told=lambda: self.pods.log(pod),
        )

    def direct(self, service: str, *pods: Pod) -> None:
        """Have a service be these pods."""
        self.control.apply([_endpoints(service, OURS, PORT, "grpc", *pods)])

    def _own(self, name: str) -> dict[str, str]:
        """Return what a secret would say, and what of production is not there."""
        prefix = f"INVENTORY_{name.upper()}_"
        role = "refusals" if name == "audit" else name
        database = self.stack.postgres_url(role).replace(
            self.stack.home.ports.address("postgres"), f"{POSTGRES}:5432"
        )
        if name == "audit":
            # What a test before has had refused is not counted with what the next one has.
            return {f"{prefix}DATABASE_URL": database, f"{prefix}WINDOW_SECONDS": "0.2"}
        keys = {f"{prefix}DATABASE_URL": database, f"{prefix}IDENTITY_JWKS": str(self.issuer.file)}
        if name == "command":
            return {**keys, f"{prefix}INTAKE_BOOTSTRAP_SERVERS": ""}
        return {**keys, f"{prefix}REDIS_URL": f"redis://{VALKEY}:6379/0"}


def for_the_test(manifests: list[Manifest], keys: str) -> list[Manifest]:
    """Return manifests as this API server and istiod can take them.

    With the issuer's keys in place of where they are fetched.
    """
    taken = deepcopy(manifests)
    for found in of_kind(taken, "RequestAuthentication"):
        for rule in found["spec"]["jwtRules"]:
            del rule["jwksUri"]
            rule["jwks"] = keys
    return taken


@contextlib.contextmanager
def running_world(programs: Programs, stack: RunningStack, folder: Path) -> Iterator[World]:
    """Run it all, and end it all."""
    with contextlib.ExitStack() as ending:
        processes = ending.enter_context(Processes(folder))
        ending.enter_context(_doors(stack))
        control = ControlPlane(programs, processes)
        control.start()
        issuer = Issuer(folder / "keys.json")
        canary = named(render("deploy/overlays/production-canary"), "Deployment", "query-canary")
        manifests = [*overlay("production"), canary]
        control.apply(for_the_test(manifests, issuer.file.read_text()))
        root = _certify_gateway(control)
        authority = folder / "gateway.pem"
        authority.write_bytes(root)
        control.apply(_around())
        pods = Pods(programs, processes, control, _hosts(control))
        templates = {
            name: pod_of(named(manifests, "Deployment", name))
            for name in ("gateway", "command", "query", "query-canary", "pipeline", "audit")
        }
        made = {
            name.removeprefix("query-"): pods.start(name, INGRESS if name == "gateway" else OURS, template)
            for name, template in templates.items()
        }
        control.apply(
            [
                _endpoints("command", OURS, PORT, "grpc", made["command"]),
                _endpoints("query", OURS, PORT, "grpc", made["query"], made["canary"]),
                _endpoints("pipeline", OURS, PORT, "grpc", made["pipeline"]),
                _endpoints("audit", OURS, PORT, "grpc", made["audit"]),
            ]
        )
        channel = grpc.secure_channel(
            f"{made['gateway'].address}:8443",
            grpc.ssl_channel_credentials(root),
            options=[("grpc.ssl_target_name_override", PUBLIC), ("grpc.default_authority", PUBLIC)],
        )
        ending.callback(channel.close)
        world = World(control, pods, issuer, stack, manifests, channel=channel, authority=authority, **made)
        for name in ("audit", "command", "query", "canary"):
            world.serve(name)
        for method in (ADD_STOCK, GET_LEVEL):
            world.wait_until_reached(method)
        yield world


def _container(manifests: list[Manifest], deployment: str) -> Manifest:
    (container,) = containers_of(named(manifests, "Deployment", deployment))
    return container


def _environment(manifests: list[Manifest], container: Manifest) -> dict[str, str]:
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        found |= named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    return found


def _endpoints(service: str, namespace: str, port: int, name: str, *pods: Pod | str) -> Manifest:
    """Return the EndpointSlice that a cluster's controllers would write."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": service,
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [{"name": name, "port": port, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [pod], "conditions": {"ready": True}}
            if isinstance(pod, str)
            else {
                "addresses": [pod.address],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": pod.name, "namespace": namespace},
            }
            for pod in pods
        ],
    }


def _around() -> list[Manifest]:
    """Return what others would make: the primary's service, the stores' addresses, the callers' accounts."""
    accounts = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": OURS}}
        for name in ("order-service", "stranger")
    ]
    primary = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "postgres-rw", "namespace": STORES},
        "spec": {"ports": [{"name": "tcp-postgres", "port": 5432}]},
    }
    return [
        *accounts,
        primary,
        _endpoints("postgres-rw", STORES, 5432, "tcp-postgres", HOST_ADDRESS),
        _endpoints("valkey", STORES, 6379, "tcp-redis", HOST_ADDRESS),
    ]


def _hosts(control: ControlPlane) -> Mapping[str, str]:
    """Return the addresses of services by their names, as a cluster's name server would."""
    found: dict[str, str] = {}
    services: Any = control.get("services", "--all-namespaces")["items"]
    for service in services:
        name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
        address = service["spec"]["clusterIP"]
        if address != "None":
            found[f"{name}.{namespace}.svc"] = address
    return {**found, VALKEY: HOST_ADDRESS}


def _certify_gateway(control: ControlPlane) -> bytes:
    """Give the gateway a certificate of its public name; return the certificate to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, PUBLIC)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(PUBLIC)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "inventory-tls", "namespace": INGRESS},
        "type": "kubernetes.io/tls",
        "stringData": {
            "tls.crt": certificate.decode(),
            "tls.key": key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
        },
    }
    control.apply([secret])
    return certificate


@contextlib.contextmanager
def _doors(stack: RunningStack) -> Iterator[None]:
    """Have the stores of the stack reached at the host's address among the pods."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="doors")
    thread.start()
    ports = stack.home.ports
    doors = [
        Door(ports.address("postgres"), (HOST_ADDRESS, 5432)),
        Door(ports.address("valkey"), (HOST_ADDRESS, 6379)),
    ]
    try:
        for door in doors:
            asyncio.run_coroutine_threadsafe(door.open(), loop).result(10)
        yield
    finally:
        for door in doors:
            asyncio.run_coroutine_threadsafe(door.shut(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
