"""Each documented rule of each query's fields is refused with INVALID_FIELD, naming the field."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from inventory.query.v1 import catalog_query_service_pb2 as catalog
from inventory.query.v1 import order_query_service_pb2 as order
from inventory.query.v1 import stock_query_service_pb2 as stock
from inventory.query.v1.time_range_pb2 import TimeRange
from inventory.type.v1.item_pb2 import ITEM_STATE_ACTIVE
from inventory.type.v1.location_pb2 import LOCATION_KIND_STORE, LOCATION_STATE_ACTIVE
from inventory.type.v1.stock_pb2 import LevelName
from tests.unit.query_svc.conftest import Queries, refusal

BAD_IDS = ["", " MUG", "MUG 1", "-MUG", "MÜG", "M" * 65, "MUG\n", "MUG\0"]
Filter = catalog.LocationFilter
Locations = catalog.ListLocationsRequest
ItemFilter = catalog.ItemFilter
Items = catalog.ListItemsRequest
History = stock.GetStockHistoryRequest
AsOf = stock.GetStockLevelAsOfRequest
Levels = stock.ListStockLevelsRequest
LevelFilter = stock.LevelFilter
Lots = stock.ListLotsRequest
LotFilter = stock.LotFilter

BAD_DAYS = [Date(), Date(year=2026, month=2, day=29), Date(year=2026, month=13, day=1), Date(year=2026)]


def history_cases() -> list[tuple[str, object, str]]:
    """Return what is wrong with the filter of a history."""
    late, early = Timestamp(seconds=2), Timestamp(seconds=1)
    wanted: Any = stock.HistoryFilter
    cases = {
        "record_time": wanted(record_time=TimeRange(start=late, end=early)),
        "kinds[1]": wanted(kinds=[1, 99]),
        "kinds[0]": wanted(kinds=[0]),
        "kinds": wanted(kinds=[1] * 31),
        "reasons[0]": wanted(reasons=[0]),
        "reasons": wanted(reasons=[1] * 31),
        "actor": wanted(actor="x" * 129),
        "reference": wanted(reference="a\0"),
        "lot_id": wanted(lot_id="-"),
    }
    return [
        ("GetStockHistory", History(sku="MUG-1", filter=bad), f"filter.{field}")
        for field, bad in cases.items()
    ]


def as_of_cases() -> list[tuple[str, object, str]]:
    """Return what is wrong with a question for a level in the past."""
    now = Timestamp(seconds=1)
    return [
        *(("GetStockLevelAsOf", AsOf(sku=bad, location_id="W", time=now), "sku") for bad in BAD_IDS),
        *(("GetStockLevelAsOf", AsOf(sku="S", location_id=bad, time=now), "location_id") for bad in BAD_IDS),
        ("GetStockLevelAsOf", AsOf(sku="S", location_id="W"), "time"),
    ]


STOCK_CASES: list[tuple[str, object, str]] = [
    *(("GetStockLevel", stock.GetStockLevelRequest(sku=bad, location_id="WH-1"), "sku") for bad in BAD_IDS),
    *(
        ("GetStockLevel", stock.GetStockLevelRequest(sku="MUG-1", location_id=bad), "location_id")
        for bad in BAD_IDS
    ),
    ("BatchGetStockLevels", stock.BatchGetStockLevelsRequest(), "names"),
    (
        "BatchGetStockLevels",
        stock.BatchGetStockLevelsRequest(names=[LevelName(sku="MUG-1", location_id="WH-1")] * 501),
        "names",
    ),
    *(
        (
            "BatchGetStockLevels",
            stock.BatchGetStockLevelsRequest(
                names=[LevelName(sku="MUG-1", location_id="WH-1"), LevelName(sku=bad, location_id="WH-1")]
            ),
            "names[1].sku",
        )
        for bad in BAD_IDS
    ),
    (
        "BatchGetStockLevels",
        stock.BatchGetStockLevelsRequest(names=[LevelName(sku="MUG-1")]),
        "names[0].location_id",
    ),
    *(("GetAvailability", stock.GetAvailabilityRequest(sku=bad), "sku") for bad in BAD_IDS),
    *(("GetStockHistory", History(sku=bad), "sku") for bad in BAD_IDS),
    *(("GetStockHistory", History(sku="MUG-1", location_id=bad), "location_id") for bad in BAD_IDS[1:]),
    ("GetStockHistory", History(sku="MUG-1", order_by=99), "order_by"),  # type: ignore[arg-type] # unknown
    ("GetStockHistory", History(sku="MUG-1", page_size=-1), "page_size"),
    ("GetStockHistory", History(sku="MUG-1", page_size=1001), "page_size"),
    ("GetStockHistory", History(sku="MUG-1", page_token="x" * 513), "page_token"),
    *as_of_cases(),
    *(("ListStockLevels", Levels(filter=LevelFilter(sku=bad)), "filter.sku") for bad in BAD_IDS[1:]),
    *(
        ("ListStockLevels", Levels(filter=LevelFilter(location_ids=["W", bad])), "filter.location_ids[1]")
        for bad in BAD_IDS
    ),
    ("ListStockLevels", Levels(filter=LevelFilter(location_ids=["W"] * 51)), "filter.location_ids"),
    ("ListStockLevels", Levels(order_by=99), "order_by"),  # type: ignore[arg-type] # unknown
    ("ListStockLevels", Levels(page_size=-1), "page_size"),
    ("ListStockLevels", Levels(page_size=1001), "page_size"),
    ("ListStockLevels", Levels(page_token="x" * 513), "page_token"),
    *(("ListLots", Lots(filter=LotFilter(sku=bad)), "filter.sku") for bad in BAD_IDS[1:]),
    *(("ListLots", Lots(filter=LotFilter(location_id=bad)), "filter.location_id") for bad in BAD_IDS[1:]),
    *(("ListLots", Lots(filter=LotFilter(expires_from=bad)), "filter.expires_from") for bad in BAD_DAYS),
    *(("ListLots", Lots(filter=LotFilter(expires_before=bad)), "filter.expires_before") for bad in BAD_DAYS),
    ("ListLots", Lots(page_size=-1), "page_size"),
    ("ListLots", Lots(page_size=1001), "page_size"),
    ("ListLots", Lots(page_token="x" * 513), "page_token"),
    *history_cases(),
]
CATALOG_CASES: list[tuple[str, object, str]] = [
    *(("GetItem", catalog.GetItemRequest(sku=bad), "sku") for bad in BAD_IDS),
    *(("GetLocation", catalog.GetLocationRequest(location_id=bad), "location_id") for bad in BAD_IDS),
    ("ListItems", Items(page_size=-1), "page_size"),
    ("ListItems", Items(page_size=1001), "page_size"),
    ("ListItems", Items(page_token="x" * 513), "page_token"),
    ("ListItems", Items(order_by=99), "order_by"),  # type: ignore[arg-type] # unknown
    ("ListItems", Items(filter=ItemFilter(category="x" * 201)), "filter.category"),
    ("ListItems", Items(filter=ItemFilter(category="a\0")), "filter.category"),
    ("ListItems", Items(filter=ItemFilter(tag="x" * 65)), "filter.tag"),
    ("ListItems", Items(filter=ItemFilter(tag="a\n")), "filter.tag"),
    *(("ListItems", Items(filter=ItemFilter(barcode=bad)), "filter.barcode") for bad in ("1", "a" * 8)),
    *(("ListItems", Items(filter=ItemFilter(parent_sku=bad)), "filter.parent_sku") for bad in BAD_IDS[1:]),
    ("ListItems", Items(filter=ItemFilter(states=[0])), "filter.states[0]"),  # type: ignore[list-item]
    ("ListItems", Items(filter=ItemFilter(states=[ITEM_STATE_ACTIVE] * 11)), "filter.states"),
    ("ListItems", Items(filter=ItemFilter(kinds=[0])), "filter.kinds[0]"),  # type: ignore[list-item]
    ("ListItems", Items(filter=ItemFilter(kinds=[1, 99])), "filter.kinds[1]"),  # type: ignore[list-item]
    ("ListLocations", Locations(page_size=-1), "page_size"),
    ("ListLocations", Locations(page_size=1001), "page_size"),
    ("ListLocations", Locations(page_token="x" * 513), "page_token"),
    ("ListLocations", Locations(order_by=99), "order_by"),  # type: ignore[arg-type] # unknown
    ("ListLocations", Locations(filter=Filter(kinds=[0])), "filter.kinds[0]"),  # type: ignore[list-item]
    ("ListLocations", Locations(filter=Filter(kinds=[2, 99])), "filter.kinds[1]"),  # type: ignore[list-item]
    ("ListLocations", Locations(filter=Filter(kinds=[LOCATION_KIND_STORE] * 11)), "filter.kinds"),
    ("ListLocations", Locations(filter=Filter(states=[0])), "filter.states[0]"),  # type: ignore[list-item]
    ("ListLocations", Locations(filter=Filter(states=[99])), "filter.states[0]"),  # type: ignore[list-item]
    ("ListLocations", Locations(filter=Filter(states=[LOCATION_STATE_ACTIVE] * 11)), "filter.states"),
    *(
        ("ListLocations", Locations(filter=Filter(region_code=bad)), "filter.region_code")
        for bad in ("gb", "G", "GBR", "G1", "GB\n")
    ),
]

BAD_UUIDS = ["", "1", "0190163d-8694-739b-aea5-966c26f8ad9", "0190163d8694739baea5966c26f8ad91"]


def list_cases(method: str, request: Any, wanted: Any) -> list[tuple[str, object, str]]:  # noqa: ANN401
    """Return what is wrong with any list of promises."""
    late, early = Timestamp(seconds=2), Timestamp(seconds=1)
    return [
        (method, request(page_size=-1), "page_size"),
        (method, request(page_size=1001), "page_size"),
        (method, request(page_token="x" * 513), "page_token"),
        (method, request(order_by=99), "order_by"),
        (method, request(filter=wanted(states=[0])), "filter.states[0]"),
        (method, request(filter=wanted(states=[1, 99])), "filter.states[1]"),
        (method, request(filter=wanted(states=[1] * 11)), "filter.states"),
        *((method, request(filter=wanted(sku=bad)), "filter.sku") for bad in BAD_IDS[1:]),
        *((method, request(filter=wanted(reference=bad)), "filter.reference") for bad in ("x" * 129, "a\0")),
        *(
            (method, request(filter=wanted(create_time=TimeRange(start=late, end=end))), "filter.create_time")
            for end in (early, late)
        ),
    ]


def text_cases(method: str, request: Any, wanted: Any, *names: str) -> list[tuple[str, object, str]]:  # noqa: ANN401
    """Return what is wrong with a filter's ids."""
    return [
        (method, request(filter=wanted(**{name: bad})), f"filter.{name}")
        for name in names
        for bad in BAD_IDS[1:]
    ]


ORDER_CASES: list[tuple[str, object, str]] = [
    *(
        ("GetReservation", order.GetReservationRequest(reservation_id=bad), "reservation_id")
        for bad in BAD_UUIDS
    ),
    *(("GetOrder", order.GetOrderRequest(order_id=bad), "order_id") for bad in BAD_UUIDS),
    *(("GetTransfer", order.GetTransferRequest(transfer_id=bad), "transfer_id") for bad in BAD_UUIDS),
    *list_cases("ListReservations", order.ListReservationsRequest, order.ReservationFilter),
    *list_cases("ListOrders", order.ListOrdersRequest, order.OrderFilter),
    *list_cases("ListTransfers", order.ListTransfersRequest, order.TransferFilter),
    *text_cases("ListReservations", order.ListReservationsRequest, order.ReservationFilter, "location_id"),
    *text_cases("ListOrders", order.ListOrdersRequest, order.OrderFilter, "location_id"),
    *text_cases(
        *("ListTransfers", order.ListTransfersRequest, order.TransferFilter),
        *("source_location_id", "destination_location_id", "supplier"),
    ),
    *(
        (
            "ListReservations",
            order.ListReservationsRequest(filter=order.ReservationFilter(channel=bad)),
            "filter.channel",
        )
        for bad in ("Web", "-", "x" * 33)
    ),
    *(
        ("ListOrders", order.ListOrdersRequest(filter=order.OrderFilter(channel=bad)), "filter.channel")
        for bad in ("Web", "-", "x" * 33)
    ),
]


@pytest.mark.parametrize(("method", "request_", "field"), STOCK_CASES + CATALOG_CASES + ORDER_CASES)
async def test_a_broken_rule_names_its_field(
    queries: Queries, method: str, request_: object, field: str
) -> None:
    stubs: tuple[object, ...] = (queries.stock, queries.catalog, queries.orders)
    (stub,) = (one for one in stubs if hasattr(one, method))
    info, code = await refusal(getattr(stub, method)(request_, timeout=5))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert (info.reason, info.metadata["field"]) == ("INVALID_FIELD", field)


WATCH_CASES = [
    *((stock.WatchStockRequest(skus=["MUG-1", bad]), "skus[1]") for bad in BAD_IDS),
    *((stock.WatchStockRequest(location_ids=[bad]), "location_ids[0]") for bad in BAD_IDS),
    (stock.WatchStockRequest(skus=["MUG-1", "MUG-1"]), "skus"),
    (stock.WatchStockRequest(skus=[f"MUG-{number}" for number in range(501)]), "skus"),
    (stock.WatchStockRequest(location_ids=[f"WH-{number}" for number in range(501)]), "location_ids"),
    (stock.WatchStockRequest(cursor="x" * 1537), "cursor"),
    (stock.WatchStockRequest(slow_reader=99), "slow_reader"),  # type: ignore[arg-type] # unknown
    (stock.WatchStockRequest(cursor="x", include_current=True), ""),
]


def test_every_query_has_bad_input() -> None:
    contracts = (stock.DESCRIPTOR, catalog.DESCRIPTOR, order.DESCRIPTOR)
    rpcs = {
        method.name
        for contract in contracts
        for service in contract.services_by_name.values()
        for method in service.methods
    }
    cases = STOCK_CASES + CATALOG_CASES + ORDER_CASES
    assert {"WatchStock", *(method for method, _, _ in cases)} == rpcs


@pytest.mark.parametrize(("request_", "field"), WATCH_CASES)
async def test_a_watch_that_breaks_a_rule_names_its_field(
    queries: Queries, request_: stock.WatchStockRequest, field: str
) -> None:
    info, code = await refusal(queries.stock.WatchStock(request_, timeout=5).read())
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert (info.reason, info.metadata["field"]) == ("INVALID_FIELD", field)


@pytest.mark.parametrize("token", ["x", "AQ", "ж", "!" * 512, "A" * 512])
async def test_a_page_token_of_nobodys_is_refused(queries: Queries, token: str) -> None:
    for call in (
        queries.stock.GetStockHistory(History(sku="MUG-1", page_token=token), timeout=5),
        queries.catalog.ListLocations(Locations(page_token=token), timeout=5),
        queries.stock.ListStockLevels(Levels(page_token=token), timeout=5),
        queries.stock.ListLots(Lots(page_token=token), timeout=5),
        queries.catalog.ListItems(Items(page_token=token), timeout=5),
        queries.orders.ListOrders(order.ListOrdersRequest(page_token=token), timeout=5),
    ):
        info, code = await refusal(call)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert info.reason == "INVALID_PAGE_TOKEN"
        assert info.metadata["page_token"]
