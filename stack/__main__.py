"""`python -m stack`: bring the local stack up, look at it, take it down."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from stack import boot, certificates, downloads, envoy_proxy, orphans, programs, shutdown, tables, tokens
from stack import refusals as ways_in
from stack.addresses import Addresses
from stack.authority import LIFETIME
from stack.certificates import Certificates
from stack.errors import StackError
from stack.home import Home, from_variables
from stack.parts import Part, Program
from stack.supervisor import Supervisor

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def up(
    *,
    only: Annotated[
        str, typer.Option(help="Names of parts, with commas; `infra`: what Inventory stands on.")
    ] = "",
) -> None:
    """Start what does not run yet, bring schema, topics and connector up to date, wait until all is ready."""
    home = from_variables()
    home.make()
    names = only.replace(",", " ").split()
    wanted = programs.chosen(home, names) if names else programs.parts(home)
    begun = time.monotonic()
    downloads.ensure(say)
    boot.up(home, programs.parts(home), wanted, report)
    say(f"all ready after {time.monotonic() - begun:.1f} s")
    console.print(tables.addresses(home))


@app.command()
def status() -> None:
    """Show what runs; exit code 1 unless everything does."""
    home = from_variables()
    supervisor = Supervisor(home) if home.folder.exists() else None
    if supervisor is None or not supervisor.is_running():
        left = len(orphans.find(home))
        say(
            f"stack {home.name} does not run"
            + (f", but {left} of its processes do: `make down`" if left else "")
        )
        raise typer.Exit(1)
    states = supervisor.states()
    console.print(tables.processes(home, _programs(home), states))
    if any(one.state != "RUNNING" for one in states.values()):
        raise typer.Exit(1)


@app.command()
def down() -> None:
    """Stop every process of the stack; its data stays."""
    home = from_variables()
    if home.folder.exists():
        shutdown.down(home, say)
    say(f"stack {home.name} is down")


@app.command()
def clean(
    *,
    everything: Annotated[bool, typer.Option("--all", help="The downloaded jars as well.")] = False,
) -> None:
    """Stop the stack and remove its data."""
    home = from_variables()
    if home.folder.exists():
        shutdown.down(home, say)
        shutil.rmtree(home.folder)
    if everything:
        downloads.remove()
    say(f"stack {home.name} is gone")


@app.command()
def restart(names: list[str]) -> None:
    """Restart programs, replicas one after the other, to take up changed code; wait until each is ready."""
    home = from_variables()
    if not Supervisor(home).is_running():
        raise StackError(f"stack {home.name} does not run")
    known = {program.name: program for program in _programs(home)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise StackError(f"there is no program {unknown[0]}: choose from {', '.join(known)}")
    for name in [replica for asked in names for replica in envoy_proxy.replicas(home, asked)]:
        begun = time.monotonic()
        boot.restart(home, known[name])
        report(known[name], time.monotonic() - begun)


@app.command()
def logs(name: Annotated[str, typer.Argument(help="A program; all of them if left out.")] = "") -> None:
    """Follow the logs."""
    home = from_variables()
    files = [home.log(name)] if name else sorted(home.logs.glob("*.log"))
    missing = [file for file in files if not file.exists()]
    if missing or not files:
        raise StackError(f"there is no log {missing[0] if missing else home.logs}")
    os.execvp("tail", ["tail", "-n", "20", "-F", *map(str, files)])  # noqa: S606, S607


@app.command()
def reconcile() -> None:
    """Prove that ledger, rows and read model tell the same; exit code 1 when they do not."""
    _cdc("reconcile", "--wait", "10")


@app.command()
def rebuild() -> None:
    """Rebuild the read model beside the live one, or go on with a rebuild that was left."""
    _cdc("rebuild")


@app.command()
def archive(month: str, folder: Path, *, audit: bool = False) -> None:
    """Put an old month of the ledger, or of the audit log, into a Parquet file in a folder, and drop it."""
    environment = os.environ | {
        "INVENTORY_ARCHIVE_DATABASE_URL": Addresses(from_variables()).postgres_url("archive")
    }
    name = "archive-audit" if audit else "archive"
    command = [sys.executable, "-m", "command_svc", name, "--month", month, "--folder", str(folder)]
    raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)  # noqa: S603


@app.command()
def token(
    role: Annotated[str, typer.Argument(help="Roles, separated by spaces or commas: clerk, viewer, …")],
    *,
    locations: Annotated[str, typer.Option(help="Where a clerk acts, likewise.")] = "",
    subject: Annotated[str, typer.Option(help="Whose name is in the token; that of the roles.")] = "",
    step_up: Annotated[bool, typer.Option(help="As it is after a step-up.")] = False,
) -> None:
    """Print an access token of the stack's issuer, good for a quarter of an hour."""
    at = Addresses(from_variables())
    roles, places = (text.replace(",", " ").split() for text in (role, locations))
    asked = tokens.form(at, subject or "-".join(roles), roles, locations=places, step_up=step_up)
    print(tokens.fetch(at, asked))  # noqa: T201 - for other programs, as it is


@app.command()
def certificate(
    name: Annotated[str, typer.Argument(help="Who calls, such as order-service.")],
    *,
    seconds: Annotated[int, typer.Option(min=1, help="How long it is good.")] = int(LIFETIME.total_seconds()),
    to: Annotated[
        Path | None, typer.Option(help="Where it goes, if not beside the others; then nobody renews it.")
    ] = None,
) -> None:
    """Make a certificate and a key for a caller, in one file, and print its path."""
    path = Certificates(_existing()).issue(name, timedelta(seconds=seconds), to)
    print(path)  # noqa: T201 - for other programs, as it is


@app.command()
def revoke(file: Path) -> None:
    """Refuse a certificate from now on."""
    Certificates(_existing()).revoke(file)


@app.command()
def rotate() -> None:
    """Renew all certificates now; those who use them notice by themselves."""
    Certificates(_existing()).rotate()


@app.command()
def refusals() -> None:
    """Try every way in that must be refused; exit code 1 when one is not."""
    at = Addresses(_existing())
    with TemporaryDirectory() as folder:
        right = ways_in.try_all(
            ways_in.attempts(at, Path(folder)), lambda line: console.print(line, markup=False)
        )
    raise typer.Exit(not right)


@app.command(hidden=True)
def keep_certificates() -> None:
    """Renew the certificates of the stack in time, until SIGTERM."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    certificates.keep(from_variables(), ended.wait)


@app.command()
def lock_downloads() -> None:
    """Fetch the JVM jars anew and pin what came by its checksums."""
    number = downloads.lock(say)
    say(f"{number} files are pinned")


def say(text: str) -> None:
    """Print a line of progress."""
    console.print(escape(text))
    sys.stdout.flush()


def report(part: Part, seconds: float) -> None:
    """Print that a part is ready."""
    console.print(f"[green]ready[/green] {part.name:<10} {seconds:5.1f} s")
    sys.stdout.flush()


def _cdc(*arguments: str) -> NoReturn:
    """Run a tool of change data capture on this stack, and exit with its code."""
    at = Addresses(from_variables())
    environment = os.environ | {
        "INVENTORY_CDC_DATABASE_URL": at.postgres_url("query"),
        "INVENTORY_CDC_REDIS_URL": at.redis_url,
    }
    command = [sys.executable, "-m", "cdc", *arguments]
    raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)  # noqa: S603


def _programs(home: Home) -> list[Program]:
    return [part for part in programs.parts(home) if isinstance(part, Program)]


def _existing() -> Home:
    home = from_variables()
    if not home.folder.exists():
        raise StackError(f"there is no stack {home.name}: start it with `make up`")
    return home


def main() -> None:
    """Run the command line; what a person can act on is shown without a traceback."""
    try:
        app()
    except (StackError, ValueError) as error:
        console.print(f"[red]failed[/red] {escape(str(error))}")
        sys.exit(1)


if __name__ == "__main__":
    main()
