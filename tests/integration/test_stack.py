"""The stack itself: it comes up, comes back, stays apart from another one, and says what is wrong."""

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest
from confluent_kafka import OFFSET_END, Consumer, Message, TopicPartition

from stack import boot, causes, credentials, orphans, programs, shutdown
from stack.errors import StackError
from stack.home import CHECKOUT, NAME_VARIABLE
from stack.infrastructure import CONNECTOR, CONNECTOR_FILE, SLOT
from stack.parts import Part, Program
from stack.ports import BASE_PORT_VARIABLE
from stack.supervisor import Supervisor
from tests.stack_fixture import RunningStack, running_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

INSERT_JOURNAL = (
    "INSERT INTO journal (id, part, part_count, payload, create_time) VALUES (%s, %s, %s, %s, now())"
)


def test_every_program_is_ready(stack: RunningStack) -> None:
    missing = {part.name: part.ready() for part in programs.parts(stack.home) if isinstance(part, Program)}

    assert missing == dict.fromkeys(missing)


def test_status_lists_every_program_with_its_address(stack: RunningStack) -> None:
    shown = run(stack, "status")

    assert shown.returncode == 0
    rows = {
        line.split()[0]: line for line in shown.stdout.replace("│", " ").splitlines() if "RUNNING" in line
    }
    expected = {part.name for part in programs.parts(stack.home) if isinstance(part, Program)}
    assert rows.keys() == expected
    assert stack.edge in rows["edge"]


def test_up_again_changes_nothing(stack: RunningStack) -> None:
    before = {name: state.pid for name, state in Supervisor(stack.home).states().items()}

    again = run(stack, "up")

    assert again.returncode == 0, again.stdout
    assert {name: state.pid for name, state in Supervisor(stack.home).states().items()} == before


@pytest.mark.parametrize(
    "name", ["valkey", "postgres", "command", "query", "projector", "relay", "connector", "connect"]
)
def test_a_killed_program_comes_back(stack: RunningStack, name: str) -> None:
    old = stack.kill(name)

    stack.wait_ready(name)

    assert stack.pid(name) != old
    # The database takes its readers down with it for a moment.
    for reader in ("connector", "command", "query", "projector", "relay"):
        stack.wait_ready(reader)


def test_the_journal_arrives_in_commit_order_and_byte_for_byte(stack: RunningStack) -> None:
    consumer = tail(stack, "inventory.journal")
    payloads = [os.urandom(40) + bytes([0, 255, number]) for number in range(50)]
    payloads.append(os.urandom(512 * 1024))
    ids = [str(uuid.uuid4()) for _ in payloads]

    with psycopg.connect(stack.postgres_url("command"), autocommit=True) as database:
        for one, payload in zip(ids, payloads, strict=True):
            database.execute(INSERT_JOURNAL, (one, 2, 3, payload))

    records = take(consumer, len(payloads), payloads.__contains__)
    assert [record.value() for record in records] == payloads
    headers = [dict(record.headers() or []) for record in records]
    assert [header["id"] for header in headers] == [one.encode() for one in ids]
    assert {(header["part"], header["part_count"]) for header in headers} == {(b"2", b"3")}
    # Four more on every record is what Debezium would add.
    assert set(headers[0]) == {"id", "part", "part_count"}


def test_rows_of_the_catalogue_are_avro_of_a_registered_schema(stack: RunningStack) -> None:
    consumer = tail(stack, "inventory.catalog.items")
    sku = f"SKU-{uuid.uuid4().hex[:8]}"

    with psycopg.connect(stack.postgres_url("command"), autocommit=True) as database:
        database.execute(
            "INSERT INTO items (sku, name, description, kind, unit_of_measure, categories, tags, barcodes,"
            " metadata, state, version, create_time, update_time)"
            " VALUES (%s, 'Mug', '', 'PHYSICAL', 'each', '{}', '{}', '{}', '{}', 'ACTIVE', 1, now(), now())",
            (sku,),
        )

    (record,) = take(consumer, 1)
    assert record.key() == sku.encode()
    assert {"sku", "name", "version"} <= set(field_names(stack, record.value()))


def test_the_journal_flows_while_the_registry_is_away(stack: RunningStack) -> None:
    consumer = tail(stack, "inventory.journal")
    # A row of the catalogue that comes again after the crash would wait for the registry, rightly.
    wait_confirmed(stack)
    Supervisor(stack.home).stop_program("registry")
    try:
        # So that it has no schema in memory any more.
        stack.kill("connect")
        stack.wait_ready("connect")
        with psycopg.connect(stack.postgres_url("command"), autocommit=True) as database:
            database.execute(INSERT_JOURNAL, (str(uuid.uuid4()), 1, 1, b"payload"))
        assert [record.value() for record in take(consumer, 1, b"payload".__eq__)] == [b"payload"]
    finally:
        Supervisor(stack.home).start_program("registry")
        stack.wait_ready("registry")


def test_an_edited_connector_is_registered_anew(stack: RunningStack) -> None:
    url = f"{stack.connect_url}/connectors/{CONNECTOR}/config"
    wanted = json.loads(CONNECTOR_FILE.read_text())
    # Whoever changes it by hand: the keeper holds to the file.
    # While Connect rebalances, after another test has killed it, it answers 409 instead.
    changed = {**wanted, "poll.interval.ms": "50"}
    until(lambda: httpx.put(url, json=changed, trust_env=False).is_success)

    interval = wanted["poll.interval.ms"]
    until(lambda: httpx.get(url, trust_env=False).json().get("poll.interval.ms") == interval)

    stack.wait_ready("connector")


def test_no_password_shows_in_logs_or_command_lines(stack: RunningStack) -> None:
    passwords = credentials.load(stack.home).values()
    shown = [log.read_text(errors="replace") for log in stack.home.logs.iterdir()]
    shown += [Path(f"/proc/{pid}/cmdline").read_text() for pid in orphans.find(stack.home)]
    shown.append(httpx.get(f"{stack.connect_url}/connectors/{CONNECTOR}/config", trust_env=False).text)

    assert not [text for text in shown if any(password in text for password in passwords)]


def test_every_listener_is_on_loopback(stack: RunningStack) -> None:
    # 7f000001 is how /proc/net/tcp writes 127.0.0.1; 0A is the state LISTEN.
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    listening = {line[1].rpartition(":")[0::2] for line in lines if line[3] == "0A"}
    ours = {
        (host, int(port, 16))
        for host, port in listening
        if stack.home.ports.base <= int(port, 16) < stack.home.ports.base + 40
    }

    assert ours
    assert {host for host, _ in ours} <= {"0100007F", "0000000000000000FFFF00000100007F"}


def test_a_second_stack_runs_beside_and_leaves_nothing_behind(stack: RunningStack) -> None:
    with running_stack("second", only=("postgres", "valkey", "database")) as second:
        home = second.home
        with psycopg.connect(second.postgres_url("owner")) as database:
            assert database.execute("SELECT count(*) FROM items").fetchone() == (0,)
        assert second.home.ports.base != stack.home.ports.base
        assert orphans.find(home)

    assert not orphans.find(home)
    assert not list(home.run.glob("*.pid"))
    assert causes.taken_port(home, ("postgres", "valkey", "supervisor")) is None


def test_down_finds_what_a_killed_supervisor_left() -> None:
    with running_stack("orphaned", only=("postgres", "valkey", "database")) as running:
        running.kill("supervisord")
        left = orphans.find(running.home)

        shutdown.down(running.home, print)

        # Each program itself is found; PostgreSQL ends its own children.
        assert len(left) == 2
        assert not orphans.find(running.home)
        assert causes.taken_port(running.home, ("postgres", "valkey", "supervisor")) is None


def test_a_failed_start_names_the_port_in_use() -> None:
    with running_stack("failing", only=("postgres",)) as running, socket.socket() as thief:
        thief.bind(("127.0.0.1", running.home.ports["valkey"]))
        thief.listen()
        everything = programs.parts(running.home)

        with pytest.raises(
            StackError, match=rf"valkey cannot start: port {running.home.ports['valkey']}.*in use"
        ):
            boot.up(running.home, everything, [part for part in everything if part.name == "valkey"], ignore)


def test_a_failed_start_names_the_process_its_log_and_the_cause() -> None:
    with running_stack("failing", only=("postgres",)) as running:
        broken = Program(
            "broken",
            [sys.executable, "-m", "there_is_no_such_module"],
            lambda: "it cannot be",
        )

        with pytest.raises(StackError) as failure:
            boot.up(running.home, [*programs.parts(running.home), broken], [broken], ignore)

    assert "broken failed" in str(failure.value)
    assert str(running.home.log("broken")) in str(failure.value)
    assert "No module named there_is_no_such_module" in str(failure.value)
    assert "likely cause: a Python module is missing" in str(failure.value)


def run(stack: RunningStack, command: str) -> subprocess.CompletedProcess[str]:
    variables = {
        NAME_VARIABLE: stack.home.name,
        BASE_PORT_VARIABLE: str(stack.home.ports.base),
        "COLUMNS": "120",
    }
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "stack", command],
        env={**os.environ, **variables},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )


def tail(stack: RunningStack, topic: str) -> Consumer:
    """Return a consumer that stands at the end of a topic's one partition."""
    consumer = Consumer(
        {"bootstrap.servers": stack.bootstrap_servers, "group.id": "tail", "enable.auto.commit": False}
    )
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
    consumer.assign([TopicPartition(topic, 0, end if end >= 0 else OFFSET_END)])
    return consumer


def take(consumer: Consumer, number: int, wanted: Callable[[object], bool] = lambda _: True) -> list[Message]:
    """Return the next records of the values wanted, and close the consumer; the test fails if none come.

    The connector's own pulse is among the records of the journal.
    """
    records: list[Message] = []
    deadline = time.monotonic() + 30
    while len(records) < number and time.monotonic() < deadline:
        record = consumer.poll(0.2)
        if record is not None:
            assert record.error() is None
            if wanted(record.value()):
                records.append(record)
    consumer.close()
    assert len(records) == number
    return records


def wait_confirmed(stack: RunningStack) -> None:
    """Wait until the connector has confirmed all that stands in PostgreSQL's log now."""
    with psycopg.connect(stack.postgres_url("owner")) as database:
        (written,) = database.execute("SELECT pg_current_wal_lsn()").fetchone() or ("",)
        until(
            lambda: (
                database.execute(
                    "SELECT confirmed_flush_lsn >= %s FROM pg_replication_slots WHERE slot_name = %s",
                    (written, SLOT),
                ).fetchone()
                == (True,)
            )
        )


def field_names(stack: RunningStack, message: str | bytes | None) -> list[str]:
    """Return the names of the fields of the registered schema a Confluent-framed message refers to."""
    assert isinstance(message, bytes)
    assert message[0] == 0
    number = int.from_bytes(message[1:5], "big")
    answer = httpx.get(f"{stack.registry_url}/apis/ccompat/v7/schemas/ids/{number}", trust_env=False)
    return [field["name"] for field in json.loads(answer.json()["schema"])["fields"]]


def until(condition: object, seconds: float = 30) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def ignore(part: Part, seconds: float) -> None:
    """Report nothing."""
