"""What Inventory stands on: stores, broker, change data capture."""

import os
import subprocess
from functools import partial

from stack import credentials, jvm, postgres_server, readiness, valkey_server
from stack.addresses import DATABASE, REGISTRY_DATABASE, Addresses
from stack.errors import StackError
from stack.home import CHECKOUT, Home
from stack.parts import Part, Program, Step, python
from stack.ports import HOST

CONNECTOR = "inventory"
SLOT = "inventory"
CONNECTOR_FILE = CHECKOUT / "cdc" / "connector" / "inventory.json"


def infrastructure(home: Home) -> list[Part]:
    """Return those parts, each after those it needs."""
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
            python("cdc", "connector"),
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


def _topics(at: Addresses) -> None:
    _run(at, "topics", {"INVENTORY_CDC_BOOTSTRAP_SERVERS": at.bootstrap_servers})


def _subjects(at: Addresses) -> None:
    _run(at, "subjects", {"INVENTORY_CDC_REGISTRY_URL": f"{at.registry_url}/apis/ccompat/v7"})


def _run(at: Addresses, name: str, environment: dict[str, str]) -> None:
    """Run a subcommand of change data capture to its end; its output becomes its log."""
    done = subprocess.run(  # noqa: S603
        python("cdc", name),
        env=os.environ | environment,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    at.home.log(name).write_text(done.stdout + done.stderr)
    if done.returncode:
        raise StackError(f"`cdc {name}` failed:\n{(done.stdout + done.stderr)[-2000:]}")
