"""Sends stock commands, and writes into the books what was acknowledged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from client import InsufficientStockError, InventoryClient, InventoryError, error_from_status
from demo.books import Books
from demo.events import Level, Line, Order
from demo.measure import Measurements
from inventory.command.v1.stock_command_service_pb2 import (
    AddStockRequest,
    BatchStockRequest,
    RemoveStockRequest,
    StockCommand,
)

# Large enough to be fast, small enough not to keep other callers waiting behind one transaction.
BATCH = 200


def command(line: Line, reference: str) -> StockCommand:
    """Return the command that carries out one line of a document."""
    occur_time = Timestamp(seconds=int(line.time.timestamp()))
    if line.delta > 0:
        return StockCommand(
            add=AddStockRequest(
                sku=line.sku,
                location_id=line.location_id,
                quantity=line.delta,
                reason=line.reason,
                reference=reference,
                occur_time=occur_time,
            )
        )
    return StockCommand(
        remove=RemoveStockRequest(
            sku=line.sku,
            location_id=line.location_id,
            quantity=-line.delta,
            reason=line.reason,
            reference=reference,
            occur_time=occur_time,
        )
    )


class Till:
    """One client of the shop: its connection, the books it writes and the measurements it adds to.

    What is out of stock is refused, counted and not carried out; any other error ends the run.
    """

    def __init__(self, client: InventoryClient, books: Books, measured: Measurements) -> None:
        self._client = client
        self._books = books
        self._measured = measured

    async def carry_out(self, order: Order, request_id: str) -> None:
        """Carry out a document: a single line as a call of its own, several in batches.

        `request_id` must be the same whenever this document is sent, and no other's.
        """
        commands = [command(line, order.document) for line in order.lines]
        if len(commands) == 1:
            await self._one(commands[0], request_id)
        else:
            await self.batch(commands, request_id)
        self._measured.orders += 1

    async def batch(self, commands: Sequence[StockCommand], request_id: str) -> None:
        """Carry out commands in their order, BATCH to a transaction; each is refused by itself."""
        for first in range(0, len(commands), BATCH):
            some = commands[first : first + BATCH]
            request = BatchStockRequest(request_id=f"{request_id}/{first // BATCH}", commands=some)
            with self._measured.batches.timed():
                response = await self._client.batch_stock(request)
            for sent, result in zip(some, response.results, strict=True):
                if result.HasField("error"):
                    self._refused(error_from_status(result.error))
                else:
                    self._accepted(sent, getattr(result, str(result.WhichOneof("result"))).request_id)

    async def _one(self, sent: StockCommand, request_id: str) -> None:
        try:
            with self._measured.unary.timed():
                if sent.HasField("add"):
                    sent.add.request_id = request_id
                    await self._client.add_stock(sent.add)
                else:
                    sent.remove.request_id = request_id
                    await self._client.remove_stock(sent.remove)
        except InsufficientStockError as error:
            self._refused(error)
        else:
            self._accepted(sent, request_id)

    def _accepted(self, sent: StockCommand, request_id: str) -> None:
        self._measured.commands += 1
        for level, delta in self._changes(sent):
            self._books.enter(level, delta, request_id)

    def _refused(self, error: InventoryError) -> None:
        if not isinstance(error, InsufficientStockError):
            raise error
        self._measured.commands += 1
        self._measured.refused[error.reason] += 1

    def _changes(self, sent: StockCommand) -> Iterator[tuple[Level, int]]:
        """Yield what an accepted command has changed, told from the command alone."""
        match sent.WhichOneof("command"):
            case "add":
                yield (sent.add.sku, sent.add.location_id), sent.add.quantity
            case "remove":
                yield (sent.remove.sku, sent.remove.location_id), -sent.remove.quantity
            case "adjust":
                level = (sent.adjust.sku, sent.adjust.location_id)
                yield level, sent.adjust.counted_quantity - self._books.expected(level).on_hand
            case "move":
                yield (sent.move.sku, sent.move.source_location_id), -sent.move.quantity
                yield (sent.move.sku, sent.move.destination_location_id), sent.move.quantity
