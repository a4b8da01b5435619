"""Finding what is left of a stack while it goes away."""

from pathlib import Path
from threading import Event, Thread

import pytest

from stack import orphans
from stack.home import from_name
from stack.ports import Ports


def test_a_note_that_goes_away_as_it_is_read_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("stack.home.ROOT", tmp_path)
    home = from_name("leaving", Ports(7400))
    home.make()
    note, done = home.run / "program.pid", Event()

    def come_and_go() -> None:
        while not done.is_set():
            note.write_text("1 0")
            note.unlink()

    noting = Thread(target=come_and_go)
    noting.start()
    try:
        found = {orphans.pid(home, "program") for _ in range(5000)}
    finally:
        done.set()
        noting.join()
    assert found == {None}
