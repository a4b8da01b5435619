"""Who has no business here is refused, and that is seen."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from stack.home import CHECKOUT, NAME_VARIABLE
from stack.ports import BASE_PORT_VARIABLE
from stack.refusals import Attempt, try_all
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack


def test_every_way_in_that_must_not_lead_in_is_refused(mesh: RunningStack) -> None:
    variables = {
        NAME_VARIABLE: mesh.home.name,
        BASE_PORT_VARIABLE: str(mesh.home.ports.base),
        "PYTHON": sys.executable,
    }
    done = subprocess.run(  # noqa: S603
        [str(CHECKOUT / "envoy" / "verify.sh")],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("yaml' OK") == 4
    assert done.stdout.count("refused: ") == 6 + 3 * 5 + 3 * 5
    assert done.stdout.count("admitted: ") == 2 + 3 + 3


@pytest.mark.parametrize("must", [True, False])
def test_what_goes_otherwise_than_it_must_is_told(*, must: bool) -> None:
    said: list[str] = []
    good = Attempt("here", "so", lambda: (must, "as it must be"), admitted=must)
    bad = Attempt("here", "otherwise", lambda: (not must, "it was open"), admitted=must)

    assert try_all([good], said.append)
    assert not try_all([bad, good], said.append)

    assert [line.startswith("WRONG") for line in said] == [False, True, False]
    assert "it was open" in said[1]
