"""What the manifests say and what the code says is the same: settings, ports, commands, methods, roles."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from audit.receiver.config import ReceiverSettings
from cdc.__main__ import app as cdc_app
from cdc.config import (
    ConnectorSettings,
    PipelineSettings,
    ProjectorSettings,
    ReconcileSettings,
    RelaySettings,
    SubjectsSettings,
    TopicsSettings,
)
from command_svc.config import ArchiveSettings, CommandSettings
from query_svc.config import QuerySettings
from serving.settings import ServerSettings, Settings, split_address
from tests.deploy.manifests import (
    ROOT,
    WORKLOADS,
    Manifest,
    containers_of,
    named,
    of_kind,
    pod_of,
)

# The settings of every container that runs our code, and the command that it runs with.
SETTINGS: dict[str, tuple[type[Settings], list[str]]] = {
    "command": (CommandSettings, ["command_svc"]),
    "query": (QuerySettings, ["query_svc"]),
    "projector": (ProjectorSettings, ["cdc", "projector"]),
    "relay": (RelaySettings, ["cdc", "relay"]),
    "pipeline": (PipelineSettings, ["cdc", "pipeline"]),
    "audit": (ReceiverSettings, ["audit"]),
    "connector": (ConnectorSettings, ["cdc", "connector"]),
    "topics": (TopicsSettings, ["cdc", "topics"]),
    "subjects": (SubjectsSettings, ["cdc", "subjects"]),
    "reconcile": (ReconcileSettings, ["cdc", "reconcile", "--wait", "60"]),
}
SERVERS = {name: cls for name, (cls, _) in SETTINGS.items() if issubclass(cls, ServerSettings)}
# A value for what comes from a secret.
SECRET = {"database-url": "postgresql://somebody@somewhere/inventory", "url": "redis://somewhere:6379/0"}
# Not called by its own name, under which the type checker asks for what the environment gives.
ARCHIVE: type[Settings] = ArchiveSettings
TRUST_DOMAIN = "cluster.local"


def _container(manifests: list[Manifest], name: str) -> tuple[Manifest, Manifest]:
    for workload in of_kind(manifests, *WORKLOADS):
        for container in containers_of(workload):
            if container["name"] == name:
                return workload, container
    raise AssertionError(f"there is no container {name}")


def _environment(manifests: list[Manifest], container: Manifest) -> dict[str, str]:
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in container.get("env", ()):
        secret = variable.get("valueFrom", {}).get("secretKeyRef")
        found[variable["name"]] = SECRET[secret["key"]] if secret else variable["value"]
    return found


@pytest.mark.parametrize("name", SETTINGS)
def test_every_variable_is_a_setting_and_every_needed_setting_is_given(
    manifests: list[Manifest], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls, command = SETTINGS[name]
    _, container = _container(manifests, name)
    assert container["command"] == ["python"]
    assert container["args"] == ["-m", *command]
    environment = _environment(manifests, container)
    prefix = cls.model_config["env_prefix"]
    known = {f"{prefix}{field}".upper() for field in cls.model_fields}
    assert environment.keys() <= known
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    # Raises when one is missing or no good.
    cls()


def test_the_archive_is_asked_as_it_can_be(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, container = _container(manifests, "archive")
    environment = _environment(manifests, container)
    known = {f"INVENTORY_ARCHIVE_{field}".upper() for field in ArchiveSettings.model_fields}
    assert environment.keys() <= known
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    ARCHIVE()
    (script,) = container["args"]
    assert 'python -m command_svc "$1" --month "$month" --folder /srv/ledger' in script
    assert re.findall(r"^archive (\S+)", script, re.MULTILINE) == ["archive", "archive-audit"]
    assert "/srv/ledger" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_all_that_runs_our_image_is_held_against_the_code(manifests: list[Manifest]) -> None:
    ours = {
        container["name"]
        for workload in of_kind(manifests, *WORKLOADS)
        for container in containers_of(workload)
        if container["image"].startswith("inventory/services:")
    }
    assert ours == SETTINGS.keys() | {"archive", "migrate"}
    commands = {
        command.name or command.callback.__name__
        for command in cdc_app.registered_commands
        if command.callback
    }
    # A rebuild is begun by a person.
    assert commands == {command[1] for _, command in SETTINGS.values() if command[0] == "cdc"} | {"rebuild"}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_listens_where_its_sidecar_its_probes_and_its_service_look(
    manifests: list[Manifest], name: str
) -> None:
    workload, container = _container(manifests, name)
    environment = _environment(manifests, container)
    listen = next(value for variable, value in environment.items() if variable.endswith("_LISTEN"))
    host, port = split_address(listen)
    # Behind its sidecar nobody but that reaches it, and what it says of callers may be believed.
    assert host == "127.0.0.1"
    assert container["ports"] == [{"name": "grpc", "containerPort": port}]
    assert container["readinessProbe"]["grpc"]["port"] == port
    assert container["startupProbe"]["grpc"]["port"] == port
    assert container["livenessProbe"]["tcpSocket"]["port"] == port
    service = named(manifests, "Service", name)["spec"]
    assert service["ports"] == [{"name": "grpc", "appProtocol": "grpc", "port": port, "targetPort": "grpc"}]
    sidecar = named(manifests, "Sidecar", "servers")["spec"]
    labels = pod_of(workload)["metadata"]["labels"]
    assert sidecar["workloadSelector"]["labels"].items() <= labels.items()
    (ingress,) = sidecar["ingress"]
    assert ingress["port"] == {"name": "grpc", "number": port, "protocol": "GRPC"}
    assert ingress["defaultEndpoint"] == listen
    proxy = yaml.safe_load(pod_of(workload)["metadata"]["annotations"]["proxy.istio.io/config"])
    assert proxy["proxyMetadata"] == {"REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION": "true"}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_gets_the_time_it_takes_to_end(manifests: list[Manifest], name: str) -> None:
    workload, container = _container(manifests, name)
    environment = _environment(manifests, container)
    cls = SERVERS[name]
    prefix = cls.model_config["env_prefix"]
    drain, grace = (
        float(environment.get(f"{prefix}{field}".upper(), cls.model_fields[field].default))
        for field in ("drain_seconds", "grace_seconds")
    )
    assert drain + grace < pod_of(workload)["spec"]["terminationGracePeriodSeconds"]


def test_the_issuer_of_the_mesh_is_the_issuer_of_the_services(manifests: list[Manifest]) -> None:
    rules = [
        rule for found in of_kind(manifests, "RequestAuthentication") for rule in found["spec"]["jwtRules"]
    ]
    asked = set()
    for name in ("command", "query", "pipeline"):
        _, container = _container(manifests, name)
        environment = _environment(manifests, container)
        prefix = SERVERS[name].model_config["env_prefix"]
        asked.add(
            (
                environment[f"{prefix}IDENTITY_ISSUER"],
                environment[f"{prefix}IDENTITY_JWKS"],
                environment[f"{prefix}IDENTITY_AUDIENCE"],
            )
        )
        proxies = json.loads(environment[f"{prefix}IDENTITY_PROXIES"])
        assert proxies == [f"spiffe://{TRUST_DOMAIN}/ns/istio-ingress/sa/gateway"]
    assert {(rule["issuer"], rule["jwksUri"], *rule["audiences"]) for rule in rules} == asked
    assert all(rule["forwardOriginalToken"] for rule in rules)
    reachable = named(manifests, "ServiceEntry", "issuer")["spec"]["hosts"]
    assert {urlsplit(keys).hostname for _, keys, _ in asked} == set(reachable)


@pytest.mark.parametrize(("name", "role"), [("command", "order_service"), ("query", "order_service")])
def test_workloads_are_the_same_to_the_mesh_and_the_service(
    manifests: list[Manifest], name: str, role: str
) -> None:
    _, container = _container(manifests, name)
    environment = _environment(manifests, container)
    prefix = SERVERS[name].model_config["env_prefix"]
    workloads = json.loads(environment[f"{prefix}IDENTITY_WORKLOADS"])
    assert set(workloads) == {f"spiffe://{TRUST_DOMAIN}/ns/inventory/sa/order-service"}
    assert workloads[f"spiffe://{TRUST_DOMAIN}/ns/inventory/sa/order-service"] == {"roles": [role]}
    policy = named(manifests, "AuthorizationPolicy", f"{name}-roles")
    principals = {
        principal
        for rule in policy["spec"]["rules"]
        for source in rule.get("from", ())
        for principal in source["source"]["principals"]
    }
    assert principals == {"*/ns/inventory/sa/order-service"}


def test_addresses_are_those_of_services(manifests: list[Manifest]) -> None:
    ports = {
        f"{found['metadata']['name']}.{found['metadata']['namespace']}.svc:{port['port']}"
        for found in of_kind(manifests, "Service")
        for port in found["spec"]["ports"]
    }
    # CloudNativePG makes it, by the name of the cluster.
    ports.add("postgres-rw.inventory-data.svc:5432")
    seen = set()
    for found in of_kind(manifests, "ConfigMap"):
        for value in found["data"].values():
            seen |= set(re.findall(r"[a-z][a-z0-9.-]*\.svc:\d+", value))
    assert seen
    assert seen <= ports


def test_the_connector_finds_what_its_file_asks_for(manifests: list[Manifest]) -> None:
    _, container = _container(manifests, "connect")
    given = {variable["name"] for variable in container["env"]}
    for source in container["envFrom"]:
        given |= set(named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"])
    _, keeper = _container(manifests, "connector")
    file = Path(_environment(manifests, keeper)["INVENTORY_CDC_CONNECTOR_FILE"])
    asking = [
        (ROOT / file.relative_to("/srv/inventory")).read_text(),
        (ROOT / "deploy/services/connect.properties").read_text(),
    ]
    asked = {name for text in asking for name in re.findall(r"\$\{env:([A-Z][A-Z_]+)\}", text)} - {"NAME"}
    assert asked == given
    allowed = re.search(r"allowlist\.pattern=(.+)", asking[1])
    assert allowed is not None
    assert all(re.fullmatch(allowed[1], name) for name in asked)


def test_the_schema_is_brought_up_to_date_from_what_the_image_holds(manifests: list[Manifest]) -> None:
    _, migrate = _container(manifests, "migrate")
    assert migrate["command"] == ["dbmate"]
    folder = next(argument.partition("=")[2] for argument in migrate["args"] if "migrations-dir" in argument)
    assert list((ROOT / Path(folder).relative_to("/srv/inventory")).glob("*.sql"))
    roles = (ROOT / "stack/postgres/roles.sql").read_text()
    workload, _ = _container(manifests, "roles")
    volume = next(volume for volume in pod_of(workload)["spec"]["volumes"] if volume["name"] == "roles")
    assert named(manifests, "ConfigMap", volume["configMap"]["name"])["data"]["roles.sql"] == roles
    managed = named(manifests, "Cluster", "postgres")["spec"]["managed"]["roles"]
    named_there = set(re.findall(r"'(inventory_[a-z]+)'", roles))
    assert {role["name"] for role in managed} | {"inventory_owner"} == named_there
