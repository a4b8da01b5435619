"""`python -m demo`: sell days of orders through the local stack, measure, and prove that all adds up."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import psycopg
import typer
import uvloop
from rich.console import Console
from rich.markup import escape

from client import InventoryError
from demo import show
from demo.events import Source
from demo.generator import ORDERS_A_DAY, Generator
from demo.orders import OrderFile, OrderFileError
from demo.probe import NotVisibleError
from demo.tour import OversoldError
from query_svc.read_model import ReadModelUnavailableError
from stack import tokens
from stack.addresses import Addresses
from stack.home import from_variables

DEFAULT_DAYS = 5
ERRORS = (
    InventoryError,
    psycopg.Error,
    ReadModelUnavailableError,
    OrderFileError,
    show.NothingToSellError,
    NotVisibleError,
    OversoldError,
)

console = Console(highlight=False)


def main(  # noqa: PLR0913 - the options of a command line, each by its name
    *,
    orders: Annotated[
        Path | None, typer.Option(help="Order lines, CSV or CSV.gz; made-up orders if left out.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, help=f"How many; all of the file, or {DEFAULT_DAYS}.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the made-up orders: the same seed, the same orders.")] = 1,
    orders_a_day: Annotated[int, typer.Option(min=1, help="Of the made-up orders.")] = ORDERS_A_DAY,
    clients: Annotated[int, typer.Option(min=1, max=64, help="How many sell at once.")] = 16,
    address: Annotated[
        str,
        typer.Option(help="host:port of plaintext services that ask for no token; the local stack's."),
    ] = "",
    database: Annotated[
        str,
        typer.Option(
            envvar="INVENTORY_DEMO_DATABASE",
            help="URL to read its ledger; the local stack's.",
        ),
    ] = "",
    redis: Annotated[
        str,
        typer.Option(envvar="INVENTORY_DEMO_REDIS", help="URL of its read model; the local stack's."),
    ] = "",
) -> None:
    """Sell days of orders through a running stack, measure it, and prove that everything adds up.

    Exit code 1 when something does not add up, or the run could not be finished.
    """
    home = from_variables()
    if not (address and database and redis) and not home.folder.exists():
        stop([f"there is no stack {home.name}: start it with `make up`"])
    local = Addresses(home)
    setting = show.Setting(
        address=address or local.edge,
        tls=None if address else local.tls(),
        sign_in=None if address else partial(tokens.source, local),
        database=database or local.postgres_url("query"),
        redis=redis or local.redis_url,
        clients=clients,
    )
    source: Source = (
        OrderFile(orders, days) if orders else Generator(seed, days or DEFAULT_DAYS, orders_a_day)
    )
    proved = False
    failures: list[str] = []
    try:
        proved = uvloop.run(show.run(setting, source, console))
    except* ERRORS as group:
        failures = [str(error) for error in leaves(group)]
    if failures:
        stop(failures)
    show_the_way(setting, next(iter(source.items())))
    if not proved:
        stop(["something does not add up, see above"])


def show_the_way(setting: show.Setting, sku: str) -> None:
    """Print what to do next with the stack that still runs."""
    how, scheme = ("--http2-prior-knowledge", "http")
    if setting.tls is not None and setting.tls.ca is not None:
        how, scheme = f"--cacert {setting.tls.ca}", "https"
    console.print(
        f"\nThe stack still runs; all services answer at [bold]{setting.address}[/bold].\n"
        "  look at it    make status\n"
        f"  ask it        .venv/bin/buf curl --protocol grpc {how} --schema . \\\n"
        """                -H "authorization: Bearer $(make -s token)" -d """
        f"""'{{"sku": "{sku}"}}' \\\n"""
        f"                {scheme}://{setting.address}/inventory.query.v1.StockQueryService/GetAvailability\n"
        "  stop it       make down",
        soft_wrap=True,
    )


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """Return the errors of a group and of the groups in it."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def stop(failures: list[str]) -> NoReturn:
    """Say why the show is over, and end with exit code 1."""
    for failure in dict.fromkeys(failures):
        console.print(f"[red]failed[/red] {escape(failure)}", soft_wrap=True)
    sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
