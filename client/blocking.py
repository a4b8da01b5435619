"""The client for programs without an event loop: the same calls, which return when they are answered."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypedDict, TypeVar, Unpack

from anyio import CapacityLimiter, to_thread

from inventory.command.v1.stock_command_service_pb2 import StreamStockRequest, StreamStockResponse

from .client import InventoryClient
from .loop import Loop
from .retry import RetryPolicy
from .tls import Tls
from .tokens import TokenSource

__all__ = ["BlockingClient", "Options"]

P = ParamSpec("P")
R = TypeVar("R")


class Options(TypedDict, total=False):
    """What a client may be given beside its address; `InventoryClient` says what each means."""

    actor: str
    tls: Tls | None
    token: TokenSource | None
    timeout: float
    retry: RetryPolicy | None
    read_your_writes: bool


def _call(
    method: Callable[Concatenate[InventoryClient, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[BlockingClient, P], R]:
    """Return the twin of a method with one answer."""

    @wraps(method)
    def twin(self: BlockingClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._loop.run(lambda: method(self._client, *args, **kwargs))

    return twin


def _stream(
    method: Callable[Concatenate[InventoryClient, P], AsyncGenerator[R, None]],
) -> Callable[Concatenate[BlockingClient, P], Generator[R, None, None]]:
    """Return the twin of a method with many answers."""

    @wraps(method)
    def twin(self: BlockingClient, /, *args: P.args, **kwargs: P.kwargs) -> Generator[R, None, None]:
        return self._loop.iterate(method(self._client, *args, **kwargs))

    return twin


class BlockingClient:
    """The services behind one address, as functions that block; a context manager.

    Arguments and methods are those of `InventoryClient`, which does the work on an event loop in a thread
    that all blocking clients of the process share. Streams are generators; closing one ends its call. Safe
    for any number of threads. A call whose thread is interrupted, as by KeyboardInterrupt, is given up; calls
    that are under way when another thread closes the client raise concurrent.futures.CancelledError.

    It does not outlive a fork: a process that forks makes its clients afterwards, each child its own, and
    none before; what breaks that raises RuntimeError.
    """

    def __init__(self, address: str, **options: Unpack[Options]) -> None:
        async def connect() -> InventoryClient:
            return InventoryClient(address, **options)

        self._loop = Loop()
        try:
            self._client = self._loop.run(connect)
        except BaseException:
            self._loop.close(_nothing)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        self._loop.close(self._client.close)

    # Items and locations.
    create_item = _call(InventoryClient.create_item)
    batch_create_items = _call(InventoryClient.batch_create_items)
    update_item = _call(InventoryClient.update_item)
    archive_item = _call(InventoryClient.archive_item)
    get_item = _call(InventoryClient.get_item)
    list_items = _call(InventoryClient.list_items)
    create_location = _call(InventoryClient.create_location)
    update_location = _call(InventoryClient.update_location)
    deactivate_location = _call(InventoryClient.deactivate_location)
    get_location = _call(InventoryClient.get_location)
    list_locations = _call(InventoryClient.list_locations)

    # Stock.
    add_stock = _call(InventoryClient.add_stock)
    remove_stock = _call(InventoryClient.remove_stock)
    adjust_stock = _call(InventoryClient.adjust_stock)
    move_stock = _call(InventoryClient.move_stock)
    set_stock_policy = _call(InventoryClient.set_stock_policy)
    batch_stock = _call(InventoryClient.batch_stock)
    get_stock_level = _call(InventoryClient.get_stock_level)
    batch_get_stock_levels = _call(InventoryClient.batch_get_stock_levels)
    list_stock_levels = _call(InventoryClient.list_stock_levels)
    list_lots = _call(InventoryClient.list_lots)
    get_stock_level_as_of = _call(InventoryClient.get_stock_level_as_of)
    get_availability = _call(InventoryClient.get_availability)
    get_stock_history = _call(InventoryClient.get_stock_history)
    watch_stock = _stream(InventoryClient.watch_stock)

    # Promises.
    reserve_stock = _call(InventoryClient.reserve_stock)
    confirm_reservation = _call(InventoryClient.confirm_reservation)
    cancel_reservation = _call(InventoryClient.cancel_reservation)
    extend_reservation = _call(InventoryClient.extend_reservation)
    batch_reserve_stock = _call(InventoryClient.batch_reserve_stock)
    get_reservation = _call(InventoryClient.get_reservation)
    list_reservations = _call(InventoryClient.list_reservations)
    place_order = _call(InventoryClient.place_order)
    fulfill_order = _call(InventoryClient.fulfill_order)
    cancel_order = _call(InventoryClient.cancel_order)
    return_order = _call(InventoryClient.return_order)
    get_order = _call(InventoryClient.get_order)
    list_orders = _call(InventoryClient.list_orders)
    dispatch_transfer = _call(InventoryClient.dispatch_transfer)
    receive_transfer = _call(InventoryClient.receive_transfer)
    cancel_transfer = _call(InventoryClient.cancel_transfer)
    get_transfer = _call(InventoryClient.get_transfer)
    list_transfers = _call(InventoryClient.list_transfers)

    # For operators and administrators.
    get_pipeline_status = _call(InventoryClient.get_pipeline_status)
    list_dead_letters = _call(InventoryClient.list_dead_letters)
    replay_dead_letters = _call(InventoryClient.replay_dead_letters)
    discard_dead_letters = _call(InventoryClient.discard_dead_letters)
    start_rebuild = _call(InventoryClient.start_rebuild)
    get_reconciliation = _call(InventoryClient.get_reconciliation)
    list_audit_entries = _call(InventoryClient.list_audit_entries)
    verify_audit_day = _call(InventoryClient.verify_audit_day)
    export_audit_entries = _stream(InventoryClient.export_audit_entries)
    export_subject = _stream(InventoryClient.export_subject)
    erase_subject = _call(InventoryClient.erase_subject)

    def stream_stock(
        self, messages: Iterable[StreamStockRequest], *, timeout: float | None = None, ahead: int = 32
    ) -> Generator[StreamStockResponse, None, None]:
        """Carry out the commands of many messages in their order; yield the answer to each.

        As `InventoryClient.stream_stock`; `messages` is read by a thread of its own.
        """
        given = _read(messages)
        return self._loop.iterate(self._client.stream_stock(given, timeout=timeout, ahead=ahead))


async def _read(messages: Iterable[R]) -> AsyncGenerator[R, None]:
    iterator, alone = iter(messages), CapacityLimiter(1)
    while True:
        message = await to_thread.run_sync(next, iterator, None, abandon_on_cancel=True, limiter=alone)
        if message is None:
            return
        yield message


async def _nothing() -> None:
    pass
