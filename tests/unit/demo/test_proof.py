"""The proof fails, with figures, when the view or the ledger is off."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from demo import levels, proof
from demo.books import Books, Standing
from demo.commits import Commits
from demo.events import Level
from demo.orders import Intake, SetAside
from demo.rows import Unusable
from inventory.query.v1.stock_query_service_pb2 import BatchGetStockLevelsRequest, BatchGetStockLevelsResponse
from tests.unit.demo.shop import Shop

MUG: Level = ("MUG-1", "WH-1")
SINCE = datetime(2026, 1, 1, tzinfo=UTC)


class Ledger(Commits):
    """A ledger with these entries, without a database."""

    def __init__(self, *entries: tuple[Level, int, str]) -> None:
        self._entries = entries

    async def books_of(self, actor: str, since: datetime) -> Books:  # noqa: ARG002 - one actor, one time
        books = Books()
        for entry in self._entries:
            books.enter(*entry)
        return books


def books() -> Books:
    """Return books of two acknowledged commands."""
    made = Books({MUG: Standing(10, 4)})
    made.enter(MUG, -1, "a")
    made.enter(MUG, -2, "b")
    return made


async def test_a_view_that_shows_what_was_acknowledged_holds() -> None:
    check = await proof.check_view(Shop({MUG: Standing(7, 6)}), books())
    assert (check.extent, check.fault_count, check.faults) == ("1 levels", 0, ())


@pytest.mark.parametrize("stock", [{}, {MUG: Standing(8, 5)}, {MUG: Standing(8, 6)}, {MUG: Standing(7, 7)}])
async def test_a_view_that_is_behind_or_wrong_is_a_fault_with_figures(
    stock: dict[Level, Standing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "PATIENCE", 0.02)
    check = await proof.check_view(Shop(stock), books())
    assert check.fault_count == 1
    shown = stock.get(MUG, Standing())
    assert check.faults[0] == (
        "MUG-1 at WH-1: acknowledged 7 on hand at version 6,"
        f" the query service shows {shown.on_hand} at version {shown.version}"
    )


async def test_a_view_may_catch_up_within_its_time() -> None:
    class Lagging(Shop):
        async def batch_get_stock_levels(
            self, request: BatchGetStockLevelsRequest, **_: object
        ) -> BatchGetStockLevelsResponse:
            answer = await super().batch_get_stock_levels(request)
            self.stock[MUG] = Standing(7, 6)
            return answer

    check = await proof.check_view(Lagging({MUG: Standing(9, 5)}), books())
    assert check.fault_count == 0


@pytest.mark.parametrize(
    "entries",
    [
        [(MUG, -1, "a")],
        [(MUG, -1, "a"), (MUG, -2, "b"), (MUG, -2, "b")],
        [(MUG, -1, "a"), (MUG, -2, "c")],
        [(MUG, -1, "a"), (MUG, -2, "b"), (("JUG-1", "WH-1"), 1, "d")],
    ],
)
async def test_a_ledger_with_other_entries_is_a_fault(entries: list[tuple[Level, int, str]]) -> None:
    check = await proof.check_ledger(Ledger(*entries), books(), "run", SINCE)
    assert check.fault_count == len(check.faults) == 1


async def test_a_ledger_with_the_same_entries_holds() -> None:
    check = await proof.check_ledger(Ledger((MUG, -2, "b"), (MUG, -1, "a")), books(), "run", SINCE)
    assert (check.extent, check.fault_count) == ("2 entries", 0)


async def test_faults_are_counted_all_and_shown_in_part() -> None:
    ledger = Ledger(*((("MUG-1", str(place)), 1, "x") for place in range(50)))
    check = await proof.check_ledger(ledger, Books(), "run", SINCE)
    assert (check.fault_count, len(check.faults)) == (50, proof.SHOWN_FAULTS)


def test_rows_must_add_up() -> None:
    intake = Intake(3, 2, {Unusable.DATE: SetAside(1, ["x"])})
    assert proof.check_intake(intake, lines=2).fault_count == 0
    assert proof.check_intake(intake, lines=1).fault_count == 1
    intake.rows_read = 4
    assert proof.check_intake(intake, lines=2).fault_count == 1


async def test_levels_are_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "PAGE", 2)
    stock = {("MUG-1", str(place)): Standing(place, place) for place in range(1, 6)}
    wanted = [*stock, ("MUG-1", "never")]
    assert await levels.read(Shop(dict(stock)), wanted) == stock
