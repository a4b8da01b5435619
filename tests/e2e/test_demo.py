"""The main job, shown: it runs through on the real stack, and says so when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack_fixture import RunningStack

ORDERS_VARIABLE = "INVENTORY_ORDERS_FILE"
# The days of December 2010 on which the shop of the real file sold.
FIRST_MONTH = 20

pytestmark = pytest.mark.stack


def demo(stack: RunningStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo against a stack and return how it ended and what it printed."""
    environment = os.environ | {
        "INVENTORY_STACK_NAME": stack.home.name,
        "INVENTORY_STACK_BASE_PORT": str(stack.home.ports.base),
        "COLUMNS": "120",
    }
    return subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "demo", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_made_up_orders_prove_out_and_do_so_again_on_a_stack_that_has_stock(stack: RunningStack) -> None:
    first = demo(stack, "--days", "2", "--orders-a-day", "150")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "InsufficientStockError" in first.stdout
    assert first.stdout.count("holds") == 3
    assert "wrong" not in first.stdout

    second = demo(stack, "--days", "1", "--orders-a-day", "150", "--seed", "2")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "0 locations and 0 items created (3 and 401 were there)" in second.stdout
    assert second.stdout.count("holds") == 3


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_month_of_real_orders_proves_out(stack: RunningStack) -> None:
    file = os.environ.get(ORDERS_VARIABLE)
    if not file:
        pytest.skip(f"{ORDERS_VARIABLE} names no file of real order lines")
    run = demo(stack, "--orders", file, "--days", str(FIRST_MONTH))
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2,752 items" in run.stdout
    for figures in ("read", "42,481"), ("used", "42,286"), ("no stock item", "195"):
        assert any(all(figure in line for figure in figures) for line in run.stdout.splitlines()), figures
    assert run.stdout.count("holds") == 4


def test_a_file_of_something_else_is_refused_in_one_line(stack: RunningStack, tmp_path: Path) -> None:
    file = tmp_path / "stock.csv"
    file.write_text("sku,quantity\nMUG-1,2\n")
    run = demo(stack, "--orders", str(file))
    assert run.returncode == 1
    assert "stock.csv: the columns InvoiceNo, StockCode," in run.stdout
    assert "Traceback" not in run.stdout + run.stderr


def test_a_file_without_a_usable_row_says_what_became_of_the_rows(
    stack: RunningStack, tmp_path: Path
) -> None:
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
    file = tmp_path / "orders.csv"
    file.write_text(f"{header}\n1,POST,POSTAGE,1,2010-12-01T08:26:00,18,17850,UK\n")
    run = demo(stack, "--orders", str(file))
    assert run.returncode == 1
    assert "no stock item" in run.stdout
    assert "nothing leaves the shop" in run.stdout


def test_a_stack_that_does_not_answer_is_said_in_one_line(stack: RunningStack) -> None:
    run = demo(stack, "--address", "127.0.0.1:1", "--days", "1")
    assert run.returncode == 1
    assert "failed UNAVAILABLE" in run.stdout
    assert "Traceback" not in run.stdout + run.stderr
