"""The blocking client: what the other is, without an event loop."""

from __future__ import annotations

import inspect
import multiprocessing
import signal
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, get_type_hints

import grpc
import pytest

from client import BlockingClient, DeadlineExceededError, InventoryClient, RetryPolicy, blocking_pages
from client.blocking import Options
from inventory.command.v1.stock_command_service_pb2 import (
    AddStockRequest,
    AddStockResponse,
    StreamStockRequest,
    StreamStockResponse,
)
from inventory.query.v1.catalog_query_service_pb2 import ItemFilter, ListItemsRequest, ListItemsResponse
from inventory.query.v1.stock_query_service_pb2 import WatchStockRequest, WatchStockResponse
from inventory.type.v1.item_pb2 import Item

FAST = RetryPolicy(first_pause=0.01, longest_pause=0.02)
PATIENCE = 30.0
NAMES = [name for name, _ in inspect.getmembers(InventoryClient, inspect.isfunction) if name[0] != "_"]
STOCK, STOCK_QUERY = "inventory.command.v1.StockCommandService", "inventory.query.v1.StockQueryService"


@dataclass
class Service:
    """Answers AddStock once `quantity` milliseconds have passed, and what streams ask, in threads."""

    begun: threading.Event = field(default_factory=threading.Event)
    """Set when a call has come."""
    given_up: threading.Event = field(default_factory=threading.Event)
    """Set when a call has been cancelled, or ended."""
    cut_after: int = 1_000
    """How many messages one call of a watch tells."""
    metadata: list[dict[str, Any]] = field(default_factory=list)

    def add_stock(self, request: AddStockRequest, context: grpc.ServicerContext) -> AddStockResponse:
        self.metadata.append({pair[0]: pair[1] for pair in context.invocation_metadata()})
        ended = threading.Event()
        self.begun.set()
        context.add_callback(ended.set)
        if ended.wait(request.quantity / 1000):
            self.given_up.set()
        return AddStockResponse(request_id=request.request_id)

    def watch(
        self, request: WatchStockRequest, context: grpc.ServicerContext
    ) -> Iterator[WatchStockResponse]:
        context.add_callback(self.given_up.set)
        self.begun.set()
        begin = int(request.cursor or 0) + 1
        for number in range(begin, begin + self.cut_after):
            yield WatchStockResponse(cursor=str(number))
            if self.cut_after > 10 and context.is_active():
                time.sleep(0.01)
        context.abort(grpc.StatusCode.UNAVAILABLE, "cut")

    def stream(
        self, requests: Iterator[StreamStockRequest], _: grpc.ServicerContext
    ) -> Iterator[StreamStockResponse]:
        for request in requests:
            yield StreamStockResponse(sequence=request.sequence)

    def list_items(self, request: ListItemsRequest, _: grpc.ServicerContext) -> ListItemsResponse:
        page = int(request.page_token or 0)
        return ListItemsResponse(
            items=[Item(sku=f"{request.filter.category}{page}")],
            next_page_token=str(page + 1) if page < 3 else "",
        )


@pytest.fixture
def service() -> Iterator[tuple[Service, str]]:
    """Give a service and its address."""
    script = Service()
    server = grpc.server(futures.ThreadPoolExecutor(32))
    handlers: dict[tuple[str, str], grpc.RpcMethodHandler[Any, Any]] = {
        (STOCK, "AddStock"): grpc.unary_unary_rpc_method_handler(
            script.add_stock, AddStockRequest.FromString, AddStockResponse.SerializeToString
        ),
        (STOCK, "StreamStock"): grpc.stream_stream_rpc_method_handler(
            script.stream, StreamStockRequest.FromString, StreamStockResponse.SerializeToString
        ),
        (STOCK_QUERY, "WatchStock"): grpc.unary_stream_rpc_method_handler(
            script.watch, WatchStockRequest.FromString, WatchStockResponse.SerializeToString
        ),
        ("inventory.query.v1.CatalogQueryService", "ListItems"): grpc.unary_unary_rpc_method_handler(
            script.list_items, ListItemsRequest.FromString, ListItemsResponse.SerializeToString
        ),
    }
    for (name, method), handler in handlers.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield script, f"127.0.0.1:{port}"
    server.stop(None).wait(PATIENCE)


@pytest.fixture
def client(service: tuple[Service, str]) -> Iterator[BlockingClient]:
    with BlockingClient(service[1], actor="test", timeout=PATIENCE, retry=FAST) as connected:
        yield connected


@contextmanager
def interrupted(begun: threading.Event) -> Iterator[None]:
    """Send this thread what Ctrl-C sends it, once a call has begun.

    What is started in the background by a shell ignores it, unless it is told otherwise.
    """

    def send(thread: int) -> None:
        begun.wait(PATIENCE)
        signal.pthread_kill(thread, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    sender = threading.Thread(target=send, args=(threading.get_ident(),))
    sender.start()
    try:
        yield
    finally:
        sender.join()
        signal.signal(signal.SIGINT, before)


def exhaust(messages: Iterator[WatchStockResponse]) -> None:
    """Read all there is."""
    for _ in messages:
        pass


def test_it_has_the_methods_of_the_other_and_no_more() -> None:
    own = [name for name, _ in inspect.getmembers(BlockingClient, inspect.isfunction) if name[0] != "_"]
    assert own == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"close", "stream_stock"}])
def test_a_method_is_the_one_of_its_name(name: str) -> None:
    twin = getattr(BlockingClient, name)
    assert twin.__wrapped__ is getattr(InventoryClient, name)
    assert twin.__name__ == name
    assert twin.__doc__


def test_what_it_takes_otherwise_it_takes_alike() -> None:
    streams = [inspect.signature(kind.stream_stock).parameters for kind in (InventoryClient, BlockingClient)]
    assert [*streams[0]] == [*streams[1]]
    assert [each.default for each in streams[0].values()] == [each.default for each in streams[1].values()]
    taken = get_type_hints(InventoryClient.__init__)
    assert get_type_hints(Options) == {
        name: taken[name] for name in taken if name not in {"address", "return"}
    }


def test_calls_of_many_threads_are_answered(service: tuple[Service, str], client: BlockingClient) -> None:
    with futures.ThreadPoolExecutor(16) as threads:
        ids = [f"r-{number}" for number in range(200)]
        answers = threads.map(lambda one: client.add_stock(AddStockRequest(request_id=one)).request_id, ids)
        assert list(answers) == ids
    assert {sent["x-inventory-actor"] for sent in service[0].metadata} == {"test"}


def test_a_deadline_holds(client: BlockingClient) -> None:
    with pytest.raises(DeadlineExceededError):
        client.add_stock(AddStockRequest(quantity=60_000), timeout=0.2)


def test_a_call_that_is_interrupted_is_given_up(service: tuple[Service, str], client: BlockingClient) -> None:
    with interrupted(service[0].begun), pytest.raises(KeyboardInterrupt):
        client.add_stock(AddStockRequest(quantity=60_000))
    assert service[0].given_up.wait(PATIENCE)
    client.add_stock(AddStockRequest())


def test_a_watch_that_is_cut_is_resumed_and_ends_where_it_is_left(
    service: tuple[Service, str], client: BlockingClient
) -> None:
    service[0].cut_after = 3
    watch = client.watch_stock(WatchStockRequest())
    assert [next(watch).cursor for _ in range(10)] == [str(number) for number in range(1, 11)]
    watch.close()
    service[0].given_up.clear()
    service[0].cut_after = 100_000
    for _ in client.watch_stock(WatchStockRequest()):
        break
    assert service[0].given_up.wait(PATIENCE)


def test_a_watch_that_is_interrupted_ends(service: tuple[Service, str], client: BlockingClient) -> None:
    service[0].cut_after = 100_000
    with interrupted(service[0].begun), pytest.raises(KeyboardInterrupt):
        exhaust(client.watch_stock(WatchStockRequest()))
    assert service[0].given_up.wait(PATIENCE)


def test_many_messages_are_answered_in_their_order(client: BlockingClient) -> None:
    messages = (StreamStockRequest(sequence=number) for number in range(50))
    assert [answer.sequence for answer in client.stream_stock(messages)] == list(range(50))


def test_what_the_callers_messages_raise_is_raised(client: BlockingClient) -> None:
    def messages() -> Iterator[StreamStockRequest]:
        yield StreamStockRequest(sequence=1)
        raise ZeroDivisionError

    answers = client.stream_stock(messages())
    assert next(answers).sequence == 1
    with pytest.raises(ZeroDivisionError):
        next(answers)


def test_a_list_comes_page_by_page(client: BlockingClient) -> None:
    request = ListItemsRequest(filter=ItemFilter(category="mugs"))
    found = [page.items[0].sku for page in blocking_pages(client.list_items, request)]
    assert found == ["mugs0", "mugs1", "mugs2", "mugs3"]
    assert request.page_token == ""


def test_closing_gives_up_what_other_threads_wait_for_and_ends_the_loop_with_the_last_client(
    service: tuple[Service, str],
) -> None:
    script, address = service
    first, second = BlockingClient(address), BlockingClient(address)
    watch = first.watch_stock(WatchStockRequest())
    next(watch)
    script.begun.clear()
    with futures.ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(first.add_stock, AddStockRequest(quantity=60_000))
        assert script.begun.wait(PATIENCE)
        first.close()
        assert isinstance(waiting.exception(PATIENCE), futures.CancelledError)
    assert script.given_up.wait(PATIENCE)
    first.close()
    with pytest.raises(RuntimeError, match="closed"):
        first.add_stock(AddStockRequest())
    second.add_stock(AddStockRequest())
    second.close()
    watch.close()
    assert not [thread.name for thread in threading.enumerate() if "portal" in thread.name]


def test_a_client_that_cannot_be_made_leaves_no_loop(service: tuple[Service, str]) -> None:
    with pytest.raises(TypeError):
        BlockingClient(service[1], colour="red")  # type: ignore[call-arg]
    assert not [thread.name for thread in threading.enumerate() if "portal" in thread.name]


def test_a_child_is_told_that_it_has_no_client(service: tuple[Service, str], client: BlockingClient) -> None:
    def use(told: Any) -> None:  # noqa: ANN401 - the end of a pipe
        for attempt in (lambda: client.add_stock(AddStockRequest()), lambda: BlockingClient(service[1])):
            try:
                attempt()
            except RuntimeError as error:
                told.send(str(error))

    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=use, args=(there,))
    child.start()
    child.join(PATIENCE)
    assert [here.recv() for _ in range(2) if here.poll(PATIENCE)] == [
        "a client does not outlive a fork: make it in the child, none before"
    ] * 2
