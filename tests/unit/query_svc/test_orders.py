"""Reservations, orders and transfers: each by its id, and listed, filtered, page by page."""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from uuid import UUID

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from inventory.query.v1 import order_query_service_pb2 as pb
from inventory.query.v1.time_range_pb2 import TimeRange
from inventory.type.v1.order_pb2 import ORDER_STATE_FULFILLED, ORDER_STATE_OPEN, Order, OrderState
from inventory.type.v1.reservation_pb2 import (
    RESERVATION_STATE_CONFIRMED,
    RESERVATION_STATE_PENDING,
    Reservation,
    ReservationState,
)
from inventory.type.v1.transfer_pb2 import TRANSFER_STATE_IN_TRANSIT, Transfer, TransferState
from query_svc.read_model import Changes
from query_svc.services import paging
from tests.stock import BEGINNING, order, promise_id, reservation, transfer
from tests.unit.query_svc.conftest import Fill, Queries, refusal

COUNT = 120


def made(seed: int = 1) -> Changes:
    """Return reservations, orders and transfers that differ in all that can be asked for."""
    rng = random.Random(seed)
    reservations, orders, transfers = [], [], []
    for number in range(COUNT):
        sku, reference = f"S{number % 3}", f"ref-{rng.randrange(8)}"
        held = reservation(number, sku=sku, reference=reference)
        held.state = rng.choice(ReservationState.values()[1:])
        held.channel = rng.choice(["web", "store"])
        held.lines[0].location_id = rng.choice(["WH-1", "WH-2"])
        reservations.append(held)
        sold = order(number, sku=sku, reference=reference)
        sold.state = rng.choice(OrderState.values()[1:])
        sold.channel = rng.choice(["web", "store"])
        sold.allocations[0].sku = rng.choice([sku, "PART"])
        sold.allocations[0].location_id = rng.choice(["WH-1", "WH-2"])
        sold.allocations[0].backordered = rng.randrange(2) if sold.state == ORDER_STATE_OPEN else 0
        orders.append(sold)
        moved = transfer(number, sku=sku, reference=reference)
        moved.state = rng.choice(TransferState.values()[1:])
        moved.destination_location_id = rng.choice(["WH-2", "WH-3"])
        if rng.randrange(2):
            moved.supplier = "ACME"
        transfers.append(moved)
    for things in (reservations, orders, transfers):
        rng.shuffle(things)
    return Changes(reservations=reservations, orders=orders, transfers=transfers)


def moments(start: int | None, end: int | None) -> TimeRange:
    """Return a stretch of seconds since the beginning."""
    return TimeRange(
        start=None if start is None else Timestamp(seconds=BEGINNING + start),
        end=None if end is None else Timestamp(seconds=BEGINNING + end),
    )


def created(one: Reservation | Order | Transfer) -> int:
    """Return the seconds since the beginning."""
    return int(one.create_time.seconds) - BEGINNING


RESERVATIONS: list[tuple[pb.ReservationFilter, Callable[[Reservation], bool]]] = [
    (pb.ReservationFilter(), lambda _: True),
    (
        pb.ReservationFilter(states=[RESERVATION_STATE_PENDING]),
        lambda one: one.state == RESERVATION_STATE_PENDING,
    ),
    (
        pb.ReservationFilter(states=ReservationState.values()[2:]),
        lambda one: one.state != RESERVATION_STATE_PENDING,
    ),
    (pb.ReservationFilter(sku="S1"), lambda one: one.lines[0].sku == "S1"),
    (pb.ReservationFilter(sku="S"), lambda _: False),
    (pb.ReservationFilter(location_id="WH-2"), lambda one: one.lines[0].location_id == "WH-2"),
    (pb.ReservationFilter(reference="ref-3"), lambda one: one.reference == "ref-3"),
    (pb.ReservationFilter(channel="store"), lambda one: one.channel == "store"),
    (pb.ReservationFilter(create_time=moments(20, 70)), lambda one: 20 <= created(one) < 70),
    (
        pb.ReservationFilter(sku="S1", reference="ref-3", channel="web", create_time=moments(20, None)),
        lambda one: (
            (one.lines[0].sku, one.reference, one.channel) == ("S1", "ref-3", "web") and created(one) >= 20
        ),
    ),
]
ORDERS: list[tuple[pb.OrderFilter, Callable[[Order], bool]]] = [
    (pb.OrderFilter(), lambda _: True),
    (pb.OrderFilter(states=[ORDER_STATE_OPEN]), lambda one: one.state == ORDER_STATE_OPEN),
    (
        pb.OrderFilter(states=[ORDER_STATE_OPEN, ORDER_STATE_FULFILLED]),
        lambda one: one.state in {ORDER_STATE_OPEN, ORDER_STATE_FULFILLED},
    ),
    (pb.OrderFilter(sku="S2"), lambda one: one.lines[0].sku == "S2"),
    (pb.OrderFilter(sku="PART"), lambda one: one.allocations[0].sku == "PART"),
    (pb.OrderFilter(location_id="WH-1"), lambda one: one.allocations[0].location_id == "WH-1"),
    (pb.OrderFilter(reference="ref-0"), lambda one: one.reference == "ref-0"),
    (pb.OrderFilter(channel="web"), lambda one: one.channel == "web"),
    (pb.OrderFilter(backordered=True), lambda one: one.allocations[0].backordered > 0),
    (pb.OrderFilter(create_time=moments(None, 50)), lambda one: created(one) < 50),
]
TRANSFERS: list[tuple[pb.TransferFilter, Callable[[Transfer], bool]]] = [
    (pb.TransferFilter(), lambda _: True),
    (
        pb.TransferFilter(states=[TRANSFER_STATE_IN_TRANSIT]),
        lambda one: one.state == TRANSFER_STATE_IN_TRANSIT,
    ),
    (
        pb.TransferFilter(states=[TRANSFER_STATE_IN_TRANSIT], destination_location_id="WH-3"),
        lambda one: one.state == TRANSFER_STATE_IN_TRANSIT and one.destination_location_id == "WH-3",
    ),
    (pb.TransferFilter(sku="S0"), lambda one: one.lines[0].sku == "S0"),
    (pb.TransferFilter(source_location_id="WH-1"), lambda one: one.source_location_id == "WH-1"),
    (pb.TransferFilter(destination_location_id="WH-2"), lambda one: one.destination_location_id == "WH-2"),
    (pb.TransferFilter(supplier="ACME"), lambda one: one.supplier == "ACME"),
    (pb.TransferFilter(reference="ref-5"), lambda one: one.reference == "ref-5"),
    (pb.TransferFilter(create_time=moments(119, 120)), lambda one: created(one) == 119),
]


class Case(NamedTuple):
    """A list, a filter, and what it must let through."""

    method: str
    field: str
    request: Any
    wanted: Any
    matches: Callable[[Any], bool]


LISTS = [
    *(Case("ListReservations", "reservations", pb.ListReservationsRequest, *case) for case in RESERVATIONS),
    *(Case("ListOrders", "orders", pb.ListOrdersRequest, *case) for case in ORDERS),
    *(Case("ListTransfers", "transfers", pb.ListTransfersRequest, *case) for case in TRANSFERS),
]


async def pages(queries: Queries, method: str, field: str, request: Any) -> list[list[Any]]:  # noqa: ANN401
    """Follow the tokens to the end."""
    found = []
    for _ in range(1000):
        answer = await getattr(queries.orders, method)(request, timeout=5)
        found.append(list(getattr(answer, field)))
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("case", LISTS, ids=lambda case: f"{case.method} {case.wanted}")
async def test_a_list_is_what_matches_in_order_of_creation(queries: Queries, fill: Fill, case: Case) -> None:
    changes = made()
    await fill(changes)
    matching = [one for one in getattr(changes, case.field) if case.matches(one)]
    for size, order_by in itertools.product((0, 7, 1000), pb.CreationOrder.values()):
        request = case.request(filter=case.wanted, order_by=order_by, page_size=size)
        found = await pages(queries, case.method, case.field, request)
        expected = sorted(matching, key=created, reverse=order_by != pb.CREATION_ORDER_OLDEST_FIRST)
        assert [one for page in found for one in page] == expected
        assert all(len(page) == (size or 100) for page in found[:-1])


async def test_each_is_answered_as_it_is(queries: Queries, fill: Fill) -> None:
    await fill(Changes(reservations=[reservation(1, 3)], orders=[order(2, 4)], transfers=[transfer(3, 5)]))
    held = await queries.orders.GetReservation(
        pb.GetReservationRequest(reservation_id=promise_id(1).upper()), timeout=5
    )
    assert held.reservation == reservation(1, 3)
    sold = await queries.orders.GetOrder(pb.GetOrderRequest(order_id=promise_id(2)), timeout=5)
    assert sold.order == order(2, 4)
    moved = await queries.orders.GetTransfer(pb.GetTransferRequest(transfer_id=promise_id(3)), timeout=5)
    assert moved.transfer == transfer(3, 5)


@pytest.mark.parametrize("kind", ["Reservation", "Order", "Transfer"])
async def test_what_is_not_there_is_not_found(queries: Queries, kind: str) -> None:
    name = f"{kind.lower()}_id"
    request = getattr(pb, f"Get{kind}Request")(**{name: promise_id(1)})
    info, code = await refusal(getattr(queries.orders, f"Get{kind}")(request, timeout=5))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, f"{kind.upper()}_NOT_FOUND")
    assert dict(info.metadata) == {name: promise_id(1)}


async def test_what_changes_between_two_pages_is_neither_repeated_nor_left_out(
    queries: Queries, fill: Fill
) -> None:
    """Orders that are closed leave the list of open ones, new ones come at its front; the others stay."""
    await fill(Changes(orders=[order(number) for number in range(50)]))
    request = pb.ListOrdersRequest(filter=pb.OrderFilter(states=[ORDER_STATE_OPEN]), page_size=10)
    first = await queries.orders.ListOrders(request, timeout=5)
    closed = [order(number, 2) for number in (45, 35, 0)]
    for one in closed:
        one.state = ORDER_STATE_FULFILLED
    await fill(Changes(orders=[*closed, order(50)]))
    request.page_token = first.next_page_token
    rest = await pages(queries, "ListOrders", "orders", request)
    assert [created(one) for one in first.orders] == list(range(49, 39, -1))
    assert [created(one) for page in rest for one in page] == [
        number for number in range(39, 0, -1) if number != 35
    ]


async def test_a_filter_that_little_matches_is_answered_in_bounded_steps(
    queries: Queries, fill: Fill
) -> None:
    orders = [order(number) for number in range(2 * paging.MAX_SCANNED + 100)]
    orders[3].channel = "phone"
    await fill(Changes(orders=orders))
    request = pb.ListOrdersRequest(filter=pb.OrderFilter(channel="phone"))
    found = await pages(queries, "ListOrders", "orders", request)
    assert found == [[], [], [orders[3]]]


async def test_a_page_fits_into_a_message(queries: Queries, fill: Fill) -> None:
    orders = []
    for number in range(20):
        one = order(number)
        for part in range(10_000):
            one.allocations.add(sku=f"SKU-{part}", location_id="WH-1", quantity=1)
        orders.append(one)
    await fill(Changes(orders=orders))
    found = await pages(queries, "ListOrders", "orders", pb.ListOrdersRequest())
    assert len(found) > 1
    assert [created(one) for page in found for one in page] == list(range(19, -1, -1))


async def test_a_token_serves_the_same_question_alone(queries: Queries, fill: Fill) -> None:
    await fill(made())
    first = await queries.orders.ListOrders(pb.ListOrdersRequest(page_size=1), timeout=5)
    others: list[Awaitable[object]] = [
        queries.orders.ListOrders(
            pb.ListOrdersRequest(order_by=pb.CREATION_ORDER_OLDEST_FIRST, page_token=first.next_page_token),
            timeout=5,
        ),
        queries.orders.ListReservations(
            pb.ListReservationsRequest(page_token=first.next_page_token), timeout=5
        ),
    ]
    for call in others:
        info, code = await refusal(call)
        assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")


@pytest.mark.parametrize("seconds", [-62_135_596_800, -1, 253_402_300_799])
async def test_any_instant_bounds_a_list(queries: Queries, fill: Fill, seconds: int) -> None:
    """Of what is open: the view has it, however old."""
    await fill(Changes(orders=[order(1)]))
    instant = Timestamp(seconds=seconds)
    for stretch, shown in ((TimeRange(start=instant), seconds < 0), (TimeRange(end=instant), seconds > 0)):
        answer = await queries.orders.ListOrders(
            pb.ListOrdersRequest(filter=pb.OrderFilter(create_time=stretch, states=[ORDER_STATE_OPEN])),
            timeout=5,
        )
        assert list(answer.orders) == ([order(1)] if shown else [])


LONG_AGO = str(UUID(int=7 << 76 | 1 << 63))


@pytest.mark.parametrize(
    "call",
    [
        lambda orders: orders.GetReservation(pb.GetReservationRequest(reservation_id=LONG_AGO), timeout=5),
        lambda orders: orders.GetOrder(pb.GetOrderRequest(order_id=LONG_AGO), timeout=5),
        lambda orders: orders.GetTransfer(pb.GetTransferRequest(transfer_id=LONG_AGO), timeout=5),
        lambda orders: orders.ListReservations(
            pb.ListReservationsRequest(
                filter=pb.ReservationFilter(
                    create_time=TimeRange(end=Timestamp(seconds=1)),
                    states=[RESERVATION_STATE_PENDING, RESERVATION_STATE_CONFIRMED],
                )
            ),
            timeout=5,
        ),
        lambda orders: orders.ListOrders(
            pb.ListOrdersRequest(
                filter=pb.OrderFilter(create_time=TimeRange(start=Timestamp(seconds=-62_135_596_800)))
            ),
            timeout=5,
        ),
        lambda orders: orders.ListTransfers(
            pb.ListTransfersRequest(
                filter=pb.TransferFilter(create_time=TimeRange(start=Timestamp(seconds=1)))
            ),
            timeout=5,
        ),
    ],
)
async def test_what_may_have_left_the_view_is_not_answered_by_it(
    queries: Queries, fill: Fill, call: Callable[[Any], Awaitable[object]]
) -> None:
    """Nobody is told that it is not there: the database is asked, which is away here."""
    await fill(Changes(orders=[order(1)], reservations=[reservation(1)], transfers=[transfer(1)]))
    info, code = await refusal(call(queries.orders))
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
