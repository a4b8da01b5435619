"""What a newcomer wants to see: a refused oversell, an item's stock, its history."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from client import InsufficientStockError, InventoryClient
from demo.events import WAREHOUSE
from inventory.command.v1.stock_command_service_pb2 import RemoveStockRequest
from inventory.query.v1.catalog_query_service_pb2 import GetItemRequest
from inventory.query.v1.stock_query_service_pb2 import GetAvailabilityRequest, GetStockHistoryRequest
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_SALE, MovementKind, MovementReason

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
        f" ({refusal.code.name}):"
    )
    for key, value in refusal.metadata.items():
        console.print(f"  {key:<12} {value}", markup=False)


async def show_item(console: Console, client: InventoryClient, sku: str) -> None:
    """Print an item's stock by place and the newest entries of its ledger, both from the query service."""
    item = (await client.get_item(GetItemRequest(sku=sku))).item
    stock = await client.get_availability(GetAvailabilityRequest(sku=sku))
    levels = Table("place", title=f"{item.name} ({sku}): what is where")
    for heading in ("on hand", "available", "version"):
        levels.add_column(heading, justify="right")
    for level in stock.levels:
        levels.add_row(level.location_id, f"{level.on_hand:,}", f"{level.available:,}", str(level.version))
    levels.add_section()
    levels.add_row("all", f"{stock.on_hand:,}", f"{stock.available:,}", "")
    console.print()
    console.print(levels)

    history = await client.get_stock_history(GetStockHistoryRequest(sku=sku, page_size=ENTRIES))
    entries = Table("recorded (UTC)", "place", title=f"the newest {ENTRIES} of its ledger")
    for heading in ("version", "change", "on hand"):
        entries.add_column(heading, justify="right")
    for heading in ("what", "document"):
        entries.add_column(heading)
    for entry in history.movements:
        kind = MovementKind.Name(entry.kind).removeprefix("MOVEMENT_KIND_").lower().replace("_", " ")
        reason = MovementReason.Name(entry.reason).removeprefix("MOVEMENT_REASON_").lower().replace("_", " ")
        entries.add_row(
            f"{entry.record_time.ToDatetime():%H:%M:%S.%f}"[:-3],
            entry.location_id,
            str(entry.version),
            f"{entry.delta.on_hand:+,}",
            f"{entry.result.on_hand:,}",
            f"{kind}: {reason}",
            entry.reference,
        )
    console.print(entries)
