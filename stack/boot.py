"""Bringing a stack up: every part as soon as those it needs are ready, each checked, each reported."""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event

from stack import causes, orphans
from stack.errors import StackError
from stack.home import Home
from stack.parts import Part, Program, Step
from stack.supervisor import Supervisor

# Called with a part and the seconds it took, the moment it is ready.
Report = Callable[[Part, float], None]

POLL = 0.1
# A program that ends this often before it is ready will not become so by itself.
EXITS = 3
SETTLING = 10.0


def up(home: Home, everything: list[Part], wanted: list[Part], report: Report) -> None:
    """Bring the wanted parts up; what runs already is only checked, and every step is done again.

    `everything` is what the supervisor is to know. Raises StackError, naming the part that failed, its log
    and the likely cause; what was started until then is left running for a look at it.
    """
    supervisor = Supervisor(home)
    if not supervisor.is_running():
        # A supervisor that was killed leaves its programs behind, on the ports needed now.
        orphans.end(home)
        taken = causes.taken_port(home, ("supervisor",))
        if taken:
            raise StackError(taken)
    supervisor.start([part for part in everything if isinstance(part, Program)])
    _in_order(wanted, lambda part, stop: _bring_up(home, part, stop), report)
    # Ready is often sooner than the supervisor takes a program for running.
    names = [part.name for part in wanted if isinstance(part, Program)]
    deadline = time.monotonic() + SETTLING
    while (
        any(supervisor.states()[name].state == "STARTING" for name in names) and time.monotonic() < deadline
    ):
        time.sleep(POLL)


def restart(home: Home, program: Program) -> None:
    """Stop a program, start it with its configuration written anew, and wait until it is ready."""
    Supervisor(home).stop_program(program.name)
    _bring_up(home, program, Event())


def wait_ready(home: Home, program: Program) -> None:
    """Wait until a program that was started or is being restarted is ready; StackError if it will not be."""
    _wait_ready(home, program, Event())


def _in_order(wanted: list[Part], bring_up: Callable[[Part, Event], None], report: Report) -> None:
    names = {part.name for part in wanted}
    left = {part.name: part for part in wanted}
    ready: set[str] = set()
    running: dict[Future[None], tuple[Part, float]] = {}
    stop = Event()
    with ThreadPoolExecutor(max_workers=len(wanted)) as pool:
        try:
            while left or running:
                for part in [part for part in left.values() if set(part.needs) & names <= ready]:
                    running[pool.submit(bring_up, left.pop(part.name), stop)] = (part, time.monotonic())
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    part, since = running.pop(future)
                    future.result()
                    ready.add(part.name)
                    report(part, time.monotonic() - since)
        finally:
            stop.set()


def _bring_up(home: Home, part: Part, stop: Event) -> None:
    if isinstance(part, Step):
        part.run()
        return
    supervisor = Supervisor(home)
    if supervisor.states()[part.name].state not in {"RUNNING", "STARTING"}:
        taken = causes.taken_port(home, part.listeners)
        if taken:
            raise StackError(f"{part.name} cannot start: {taken}")
        if part.prepare:
            part.prepare()
        supervisor.start_program(part.name)
    _wait_ready(home, part, stop)


def _wait_ready(home: Home, program: Program, stop: Event) -> None:
    supervisor = Supervisor(home)
    deadline = time.monotonic() + program.patience
    missing: str | None = "not asked yet"
    starts: set[int] = set()
    while time.monotonic() < deadline and not stop.is_set():
        state = supervisor.states()[program.name]
        if state.state in {"STARTING", "RUNNING"}:
            missing = program.ready()
            if missing is None:
                return
        elif state.state in {"STOPPED", "STOPPING"}:
            raise StackError(f"{program.name} was stopped")
        else:
            starts.add(state.started)
            if len(starts) >= EXITS or state.state == "FATAL":
                raise StackError(_failure(home, program, "it keeps ending"))
        time.sleep(POLL)
    if not stop.is_set():
        raise StackError(_failure(home, program, f"not ready after {program.patience:.0f} s ({missing})"))


def _failure(home: Home, program: Program, what: str) -> str:
    log = home.log(program.name)
    lines = "\n".join(f"    {line}" for line in causes.last_lines(log))
    cause = causes.taken_port(home, program.listeners) if "ending" in what else None
    cause = cause or causes.likely(log) or "see the log"
    return f"{program.name} failed: {what}\n  likely cause: {cause}\n  the end of its log, {log}:\n{lines}"
