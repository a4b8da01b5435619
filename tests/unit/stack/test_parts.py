"""Which parts of a stack are started."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from stack import boot, downloads, programs
from stack.__main__ import app
from stack.errors import StackError
from stack.home import Home, from_name
from stack.ports import Ports


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Home:
    """Give a stack that nobody has started."""
    monkeypatch.setattr("stack.home.ROOT", tmp_path)
    made = from_name("parts", Ports(7400))
    made.make()
    return made


def names(home: Home, *wanted: str) -> list[str]:
    """Return the names of the parts that are chosen."""
    return [part.name for part in programs.chosen(home, wanted)]


def test_parts_are_chosen_by_their_names_and_stand_in_the_order_of_the_stack(home: Home) -> None:
    assert names(home, "database", "postgres") == ["postgres", "database"]
    infra = names(home, "infra")
    assert {"postgres", "connector"} <= set(infra)
    assert "command" not in infra
    assert names(home, "command", "infra") == [*infra, "command"]


def test_a_name_that_no_part_has_is_refused_with_those_that_there_are(home: Home) -> None:
    with pytest.raises(StackError, match=r"'typo'.*infra, postgres, .*, edge"):
        programs.chosen(home, ["postgres", "typo"])


def test_nothing_is_started_for_a_name_that_no_part_has(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(*_: object) -> None:
        raise AssertionError("begun")

    monkeypatch.setattr("stack.__main__.from_variables", lambda: home)
    monkeypatch.setattr(downloads, "ensure", begin)
    monkeypatch.setattr(boot, "up", begin)
    ended = CliRunner().invoke(app, ["up", "--only", "postgres,typo"])
    assert isinstance(ended.exception, StackError)
    assert "'typo'" in str(ended.exception)
