"""What a newcomer wants to see: a refused oversell, an item's stock, its history."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from client import InsufficientStockError, InventoryClient
from demo.events import WAREHOUSE
from inventory.command.v1.stock_command_service_pb2 import RemoveStockRequest
from inventory.query.v1.catalog_query_service_pb2 import GetItemRequest
from inventory.query.v1.stock_query_service_pb2 import GetAvailabilityRequest, GetStockHistoryRequest
from inventory.type.v1.stock_pb2 import (
    MOVEMENT_KIND_MOVE_IN,
    MOVEMENT_KIND_MOVE_OUT,
    MOVEMENT_REASON_SALE,
    MovementKind,
    MovementReason,
    StockMovement,
)

ENTRIES = 8


class OversoldError(Exception):
    """More was sold than is there: the promise that all others rest on is broken."""


async def oversell(client: InventoryClient, sku: str) -> InsufficientStockError:
    """Try to sell one unit more than the warehouse has, and return the refusal."""
    stock = await client.get_availability(GetAvailabilityRequest(sku=sku))
    available = sum(level.available for level in stock.levels if level.location_id == WAREHOUSE)
    try:
        await client.remove_stock(
            RemoveStockRequest(
                sku=sku,
                location_id=WAREHOUSE,
                quantity=available + 1,
                reason=MOVEMENT_REASON_SALE,
                reference="one too many",
            )
        )
    except InsufficientStockError as refusal:
        return refusal
    raise OversoldError(f"{available + 1} units of {sku} were sold where {available} were")


def show_refusal(console: Console, refusal: InsufficientStockError) -> None:
    """Print the refusal as a caller of the client gets it."""
    console.print(
        f"\n[bold]An oversell is refused.[/bold] The client raises [red]{type(refusal).__name__}[/red]"
        f" ({refusal.code.name}):",
        soft_wrap=True,
    )
    for figure in ("sku", "location_id", "requested", "available"):
        console.print(f"  {figure:<12} {refusal.metadata[figure]}", markup=False)


async def show_item(console: Console, client: InventoryClient, sku: str) -> None:
    """Print an item's stock by place and the newest entries of its ledger, both from the query service."""
    item = (await client.get_item(GetItemRequest(sku=sku))).item
    stock = await client.get_availability(GetAvailabilityRequest(sku=sku))
    console.print(f"\n[bold]What is where[/bold] of {sku}, {escape(item.name)}:")
    levels = Table("place")
    for heading in ("on hand", "available", "version"):
        levels.add_column(heading, justify="right")
    for level in stock.levels:
        levels.add_row(level.location_id, f"{level.on_hand:,}", f"{level.available:,}", str(level.version))
    levels.add_section()
    levels.add_row("all", f"{stock.on_hand:,}", f"{stock.available:,}", "")
    console.print(levels)

    history = await client.get_stock_history(GetStockHistoryRequest(sku=sku, page_size=ENTRIES))
    console.print(f"\n[bold]How it came to be:[/bold] the newest {ENTRIES} entries of its ledger:")
    entries = Table("UTC", "place")
    for heading in ("version", "change", "on hand"):
        entries.add_column(heading, justify="right")
    for heading in ("what", "document"):
        entries.add_column(heading)
    for entry in history.movements:
        entries.add_row(
            f"{entry.record_time.ToDatetime():%H:%M:%S}",
            entry.location_id,
            str(entry.version),
            f"{entry.delta.on_hand:+,}",
            f"{entry.result.on_hand:,}",
            _what(entry),
            entry.reference,
        )
    console.print(entries)


def _what(entry: StockMovement) -> str:
    """Return the reason of a movement in words; of a move, which half it is."""
    if entry.kind in {MOVEMENT_KIND_MOVE_OUT, MOVEMENT_KIND_MOVE_IN}:
        name = MovementKind.Name(entry.kind).removeprefix("MOVEMENT_KIND_")
    else:
        name = MovementReason.Name(entry.reason).removeprefix("MOVEMENT_REASON_")
    return name.lower().replace("_", " ")
