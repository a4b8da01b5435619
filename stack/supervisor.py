"""The supervisor of a stack: its configuration, how it is started, asked and stopped."""

import http.client
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from stack import credentials, orphans
from stack.errors import StackError
from stack.home import CHECKOUT, Home
from stack.parts import Program
from stack.ports import HOST

USER = "stack"


@dataclass(frozen=True)
class State:
    """What the supervisor says about a program."""

    name: str
    state: str
    pid: int
    started: int
    now: int
    message: str

    @property
    def uptime(self) -> int:
        """Seconds since the program was started, 0 when it does not run."""
        return max(0, self.now - self.started) if self.state == "RUNNING" else 0


class Supervisor:
    """The supervisor of one stack, whether it runs or not."""

    def __init__(self, home: Home) -> None:
        self._home = home
        password = credentials.load(home)["SUPERVISOR_PASSWORD"]
        self._url = f"http://{USER}:{password}@{home.ports.address('supervisor')}/RPC2"

    def is_running(self) -> bool:
        """Tell whether this stack's supervisor answers."""
        try:
            self._call("getPID")
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False
        return True

    def start(self, programs: list[Program]) -> None:
        """Start the supervisor if it does not run, and make it know these programs.

        It starts none of them, but one that runs with other settings is restarted.
        """
        self._write(programs)
        if self.is_running():
            self._reload({program.name: program for program in programs})
            return
        command = [
            sys.executable,
            "-m",
            "supervisor.supervisord",
            "-c",
            str(self._home.config / "supervisord.conf"),
        ]
        # A known environment, so that no process of the stack depends on the shell `make` was called in.
        kept = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        environment[orphans.MARK] = str(self._home.folder)
        done = subprocess.run(  # noqa: S603
            command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, check=False
        )
        deadline = time.monotonic() + 10
        while not self.is_running():
            if done.returncode or time.monotonic() > deadline:
                raise StackError(f"the supervisor did not start:\n{done.stdout}{done.stderr}")
            time.sleep(0.05)

    def start_program(self, name: str) -> None:
        """Ask for a program to be started; a running one is left alone."""
        try:
            self._call("startProcess", name, False)  # noqa: FBT003 - XML-RPC knows no keywords
        except xmlrpc.client.Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                raise StackError(f"{name} cannot be started: {fault.faultString}") from fault

    def stop_program(self, name: str, *, wait: bool = True) -> None:
        """Stop a program and wait until it has ended, if asked to; one that does not run is left alone."""
        try:
            self._call("stopProcess", name, wait)
        except xmlrpc.client.Fault as fault:
            if "NOT_RUNNING" not in fault.faultString:
                raise

    def states(self) -> dict[str, State]:
        """Return what the supervisor says about each of its programs."""
        found = cast("list[dict[str, Any]]", self._call("getAllProcessInfo"))
        return {
            one["name"]: State(
                one["name"], one["statename"], one["pid"], one["start"], one["now"], one["spawnerr"] or ""
            )
            for one in found
        }

    def shut_down(self) -> None:
        """Ask the supervisor to stop all programs that still run, then itself. Returns at once."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: object) -> object:
        with xmlrpc.client.ServerProxy(self._url) as server:
            return getattr(server.supervisor, method)(*arguments)

    def _reload(self, programs: Mapping[str, Program]) -> None:
        changes = cast("list[list[list[str]]]", self._call("reloadConfig"))[0]
        added, changed, removed = changes
        ran = {name for name, state in self.states().items() if state.pid}
        for name in [*changed, *removed]:
            self._call("stopProcessGroup", name)
            self._call("removeProcessGroup", name)
        for name in [*added, *changed]:
            self._call("addProcessGroup", name)
        for name in changed:
            if name in ran:
                if prepare := programs[name].prepare:
                    prepare()
                self.start_program(name)

    def _write(self, programs: list[Program]) -> None:
        path = self._home.config / "supervisord.conf"
        path.touch(mode=0o600)
        sections = [self._daemon(), *(self._program(order, one) for order, one in enumerate(programs))]
        path.write_text("\n".join(sections))

    def _daemon(self) -> str:
        password = credentials.load(self._home)["SUPERVISOR_PASSWORD"]
        lines = [
            "[supervisord]",
            f"logfile={_escape(self._home.log('supervisord'))}",
            "logfile_maxbytes=5MB",
            "logfile_backups=1",
            f"pidfile={_escape(self._home.run / 'supervisord.pid')}",
            *(["user=root"] if os.geteuid() == 0 else []),
            # Loopback TCP rather than a unix socket, whose path is too long in a deep checkout.
            "[inet_http_server]",
            f"port={HOST}:{self._home.ports['supervisor']}",
            f"username={USER}",
            f"password={password}",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
            "",
        ]
        return "\n".join(lines)

    def _program(self, order: int, program: Program) -> str:
        launcher = [
            "/bin/sh",
            "-c",
            orphans.LAUNCHER,
            str(self._home.run / f"{program.name}.pid"),
            *program.command,
        ]
        log = _escape(self._home.log(program.name))
        access = _escape(self._home.log(f"{program.name}-access"))
        variables = ",".join(f"{name}={_value(value)}" for name, value in program.environment.items())
        lines = [
            f"[program:{program.name}]",
            f"command={_escape(shlex.join(launcher))}",
            f"directory={_escape(CHECKOUT)}",
            *([f"environment={variables}"] if variables else []),
            # The runner starts programs in order; the supervisor restarts them when they die.
            "autostart=false",
            "autorestart=true",
            # Each retry waits one second longer than the last: this is half an hour of trying.
            "startretries=60",
            "startsecs=1",
            f"priority={100 + order}",
            f"stopsignal={program.stop_signal}",
            f"stopwaitsecs={program.stop_wait}",
            "stopasgroup=true",
            "killasgroup=true",
            f"stdout_logfile={access if program.access_log else log}",
            "stdout_logfile_maxbytes=20MB",
            "stdout_logfile_backups=2",
            *([f"stderr_logfile={log}", "stderr_logfile_maxbytes=20MB"] if program.access_log else []),
            f"redirect_stderr={'false' if program.access_log else 'true'}",
            "",
        ]
        return "\n".join(lines)


def _escape(text: object) -> str:
    return str(text).replace("%", "%%")


def _value(text: object) -> str:
    # JSON among them: the supervisor knows two quotes, and no way to write one within itself.
    quote = "'" if '"' in str(text) else '"'
    return f"{quote}{_escape(text)}{quote}"
