"""Every rule of every request of the command side, broken."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Iterator
from typing import Any

from inventory.type.v1.stock_pb2 import MovementReason
from tests.unit.command_svc.services.good import ADD, BACK, LINE, REASONS, SENT, Fields

Case = tuple[str, Fields, str]
"""An RPC, what is changed of its good request, and the path that the refusal names."""

BAD_IDS = [" MUG", "MUG 1", "-MUG", "MÜG", "M" * 65, "MUG\n", "MUG\0"]
NO_IDS = ["", *BAD_IDS]
BAD_REQUEST_IDS = [" r", "r 1", "-r", "rü", "r" * 129, "r\n", "r\0"]
BAD_REFERENCES = ["r" * 129, "r\n", "\0", "\x7f", "\x85"]
BAD_UUIDS = ["", "1", "0197a6b2-0000-7000-8000-00000000000g"]
CONTROL = ["a\0b", "a\nb", "\x1b[1m", "a\x9fb"]
MOST = 10**12
NO_QUANTITIES = [0, -1, MOST + 1, 2**63 - 1, -(2**63)]
AHEAD: Fields = {"seconds": int(time.time()) + 3600}
NO_TIMES: list[Fields] = [
    {"seconds": 10**12},
    {"seconds": -(10**12)},
    {"seconds": 1_700_000_000, "nanos": 10**9},
    {"seconds": 1_700_000_000, "nanos": -1},
]
NOWHERE: list[Fields] = [
    *({"latitude": one} for one in (90.001, -90.001, math.nan, math.inf, -math.inf)),
    *({"longitude": one} for one in (180.001, -180.001, math.nan, math.inf, -math.inf)),
]
NO_DAYS: list[Fields] = [
    {"year": 2026},
    {"year": 2026, "month": 1},
    {"month": 1, "day": 1},
    {"year": 10_000, "month": 1, "day": 1},
    {"year": 2026, "month": 13, "day": 1},
    {"year": 2026, "month": 4, "day": 31},
    {"year": 2026, "month": 2, "day": 29},
    {"year": 1900, "month": 2, "day": 29},
    {"year": 2026, "month": 1, "day": -1},
]

STOCK = "AddStock RemoveStock AdjustStock MoveStock"
BATCHES = "BatchStock StreamStock BatchReserveStock BatchCreateItems"
RESOLVE = "ConfirmReservation CancelReservation ExtendReservation"
ORDERED = "FulfillOrder CancelOrder ReturnOrder"
CARRIED = "ReceiveTransfer CancelTransfer"
ITEMS = "CreateItem UpdateItem ArchiveItem"
LOCATIONS = "CreateLocation UpdateLocation DeactivateLocation"
ALL = (
    f"{STOCK} SetStockPolicy {BATCHES} ReserveStock {RESOLVE} PlaceOrder {ORDERED} DispatchTransfer "
    f"{CARRIED} {ITEMS} {LOCATIONS}"
)


def each(rpcs: str, field: str, values: Iterable[Any], path: str | None = None) -> Iterator[Case]:
    """Yield a case for every RPC and every bad value of a field; `path` is what the refusal names."""
    for rpc, value in itertools.product(rpcs.split(), values):
        yield rpc, {field: value}, field if path is None else path


def lines(
    rpcs: str, good: Fields, field: str, values: Iterable[Any], path: str | None = None
) -> Iterator[Case]:
    """Yield a case for every RPC and every bad value of a field of its second line."""
    for value in values:
        bad = {name: one for name, one in {**good, field: value}.items() if one is not None}
        named = f"lines[1].{field}" if path is None else path
        yield from each(rpcs, "lines", [[good, bad]], named)


def wrong_reasons() -> Iterator[Case]:
    """Yield every reason that a command does not list, and one that nobody knows."""
    for rpc, listed in REASONS.items():
        right = {f"MOVEMENT_REASON_{name}" for name in listed.split()}
        wrong = [number for name, number in MovementReason.items() if name not in right]
        yield from each(rpc, "reason", [*wrong, 99])


def texts(rpc: str, prefix: str = "") -> Iterator[Case]:
    """Yield what is wrong with the texts, lists and figures that an item has, new (`prefix`) or changed."""

    def one(name: str, value: object, path: str | None = None) -> Case:
        change: Fields = {name: value, "parent_sku": "MUG"}
        if prefix:
            change = {"item": {"name": "x", name: value}, "update_mask": {"paths": [name]}}
        return rpc, change, prefix + (path or name)

    yield from (one("name", bad) for bad in ("x" * 201, *CONTROL))
    yield from (one("description", bad) for bad in ("x" * 4001, "a\0b"))
    for name, longest, most in (("categories", 200, 20), ("tags", 64, 50)):
        yield from (one(name, bad) for bad in (["c"] * 2, [str(n) for n in range(most + 1)]))
        yield from (one(name, ["a", bad], f"{name}[1]") for bad in ("", "x" * (longest + 1), *CONTROL))
    yield from (one("barcodes", bad) for bad in (["96385074"] * 2, [f"{n:08}" for n in range(21)]))
    wrong = ["", "1", "x" * 13, "4006381333932", "96385075", "036000291453", "10614141000416"]
    wrong += ["4006381333931\n", "٩٦٣٨٥٠٧٤"]
    yield from (one("barcodes", ["96385074", bad], "barcodes[1]") for bad in wrong)
    keys = ("", "a b", "ключ", "k" * 65, "a/b", "k\n")
    for name, most, longest in (("metadata", 50, 500), ("option_values", 10, 100)):
        yield one(name, {str(n): "x" for n in range(most + 1)})
        yield from (one(name, {key: "value"}, f'{name}["{key}"]') for key in keys)
        yield from (one(name, {"k": bad}, f'{name}["k"]') for bad in ("x" * (longest + 1), *CONTROL))
    yield one("option_values", {"k": ""}, 'option_values["k"]')
    yield from (one("weight_grams", bad) for bad in (-1, 10**9 + 1))
    for side in ("length_mm", "width_mm", "height_mm"):
        yield from (one("dimensions", {side: bad}, f"dimensions.{side}") for bad in (-1, 10**9))


def places(rpc: str, prefix: str = "") -> Iterator[Case]:
    """Yield what is wrong with a location, new or (`prefix`) changed."""

    def one(name: str, value: object, path: str | None = None) -> Case:
        change: Fields = {name: value}
        if prefix:
            change = {"location": {"name": "x", **change}, "update_mask": {"paths": [name]}}
        return rpc, change, prefix + (path or name)

    yield from (one("name", bad) for bad in ("x" * 201, *CONTROL))
    yield from (one("kind", bad) for bad in (99, -1))
    addresses: dict[str, list[Any]] = {
        "region_code": ["gb", "G", "GBR", "G1", "GB\n"],
        "postal_code": ["x" * 17, *CONTROL],
        "locality": ["x" * 101, *CONTROL],
        "lines": [["x"] * 6],
    }
    for name, bad_ones in addresses.items():
        yield from (one("address", {name: bad}, f"address.{name}") for bad in bad_ones)
    yield from (
        one("address", {"lines": ["x", bad]}, "address.lines[1]") for bad in ("", "x" * 201, *CONTROL)
    )
    yield from (one("coordinates", bad) for bad in NOWHERE)
    # What the machine calls its own zone is no name that others know.
    zones = ["Mars/Olympus", "europe/berlin", "UTC+1", "../UTC", "x" * 65, "localtime", "/etc/localtime"]
    yield from (one("time_zone", bad) for bad in zones)
    yield from (one("priority", bad) for bad in (-1, 10_001))


def receipts(rpc: str, prefix: str, wrap: Any) -> Iterator[Case]:  # noqa: ANN401
    """Yield what is wrong with the lot of arriving units; `wrap` puts it into a request of two units."""
    for bad in NO_IDS:
        yield rpc, wrap({"lot_id": bad}), f"{prefix}lot.lot_id"
    for bad_day in NO_DAYS:
        yield rpc, wrap({"lot_id": "L", "expiry_date": bad_day}), f"{prefix}lot.expiry_date"
    yield from _serials(
        rpc, f"{prefix}lot.serials", lambda serials: wrap({"lot_id": "L", "serials": serials})
    )


def choices(rpc: str, prefix: str, wrap: Any) -> Iterator[Case]:  # noqa: ANN401
    """Yield what is wrong with the lot that units are taken from."""
    for bad in BAD_IDS:
        yield rpc, wrap({"lot_id": bad}), f"{prefix}lot.lot_id"
    yield rpc, wrap({}), f"{prefix}lot"
    yield from _serials(rpc, f"{prefix}lot.serials", lambda serials: wrap({"serials": serials}))


def _serials(rpc: str, path: str, wrap: Any) -> Iterator[Case]:  # noqa: ANN401
    for bad in NO_IDS:
        yield rpc, wrap(["S", bad]), f"{path}[1]"
    yield rpc, wrap(["S", "S"]), path


def _line_of(good: Fields) -> Any:  # noqa: ANN401
    return lambda lot: {"lines": [{**good, "lot": lot}]}


def _of_two(lot: Fields) -> Fields:
    return {"quantity": 2, "lot": lot}


STOCK_CASES: list[Case] = [
    *each(f"{STOCK} SetStockPolicy", "sku", NO_IDS),
    *each("AddStock RemoveStock AdjustStock SetStockPolicy", "location_id", NO_IDS),
    *each("MoveStock", "source_location_id", NO_IDS),
    *each("MoveStock", "destination_location_id", NO_IDS),
    *each("MoveStock", "destination_location_id", ["WH"], ""),
    *each("AddStock RemoveStock MoveStock", "quantity", NO_QUANTITIES),
    *each("AdjustStock", "counted_quantity", [-1, MOST + 1, 2**63 - 1]),
    *each("AdjustStock", "delta", [0, MOST + 1, -MOST - 1, -(2**63)]),
    *each("AdjustStock", "counted_quantity", [None], "adjustment"),
    *each("AdjustStock SetStockPolicy", "expected_version", [-1, -(2**63)]),
    *each("SetStockPolicy", "safety_stock", [None], ""),
    *each("SetStockPolicy", "safety_stock", [-1, MOST + 1]),
    *each("SetStockPolicy", "reorder_point", [-1, MOST + 1]),
    *each("SetStockPolicy", "backorder_limit", [-1, MOST + 1]),
    *wrong_reasons(),
    *each(STOCK, "reference", BAD_REFERENCES),
    *each(STOCK, "occur_time", [AHEAD, *NO_TIMES]),
    *each("AddStock", "supplier", BAD_IDS),
    *receipts("AddStock", "", _of_two),
    *receipts("AdjustStock", "", lambda lot: {"counted_quantity": 2, "lot": lot}),
    *choices("RemoveStock", "", _of_two),
    *choices("MoveStock", "", _of_two),
    *each("AddStock", "lot", [{"lot_id": "L", "serials": ["S"]}], ""),
    *each("AdjustStock", "lot", [{"lot_id": "L", "serials": ["S"]}], ""),
    *each("RemoveStock MoveStock", "lot", [{"serials": ["S"]}], ""),
]
RESERVATION_CASES: list[Case] = [
    *each("ReserveStock", "lines", [[], [LINE] * 101]),
    *each("ConfirmReservation", "lines", [[LINE] * 101]),
    *lines("ReserveStock ConfirmReservation", LINE, "sku", NO_IDS),
    *lines("ReserveStock", LINE, "location_id", BAD_IDS),
    *lines("ConfirmReservation", LINE, "location_id", NO_IDS),
    *lines("ReserveStock ConfirmReservation", LINE, "quantity", NO_QUANTITIES),
    *lines("ReserveStock ConfirmReservation", LINE, "lot_id", BAD_IDS),
    *lines("ReserveStock", {"sku": "MUG", "quantity": 1}, "lot_id", ["L"], "lines[1]"),
    *lines("ConfirmReservation", {**LINE, "lot_id": "L"}, "serials", [["S", "S"]]),
    *lines("ConfirmReservation", {**LINE, "lot_id": "L"}, "serials", [["S", ""]], "lines[1].serials[1]"),
    *lines("ConfirmReservation", {**LINE, "lot_id": "L"}, "serials", [["S"]], "lines[1]"),
    *lines("ConfirmReservation", LINE, "serials", [["S", "T"]], "lines[1]"),
    *each("ReserveStock ExtendReservation", "time_to_live", [{"seconds": one} for one in (0, -1, 604_801)]),
    *each("ExtendReservation", "time_to_live", [None]),
    *each(RESOLVE, "reservation_id", BAD_UUIDS),
]
ORDER_CASES: list[Case] = [
    *each("ReserveStock PlaceOrder", "strategy", [99, -1]),
    *each("ReserveStock PlaceOrder", "strategy", ["SOURCING_STRATEGY_NEAREST"], ""),
    *each("ReserveStock PlaceOrder", "destination", NOWHERE),
    *each("ReserveStock PlaceOrder", "channel", ["Web", "a b", "x" * 33]),
    *each("ReserveStock PlaceOrder", "reference", BAD_REFERENCES),
    *each("PlaceOrder", "lines", [[], [LINE] * 101]),
    *each("FulfillOrder CancelOrder", "lines", [[LINE] * 101]),
    *each("ReturnOrder", "lines", [[], [BACK] * 101]),
    *lines("PlaceOrder FulfillOrder CancelOrder", LINE, "sku", NO_IDS),
    *lines("PlaceOrder", LINE, "location_id", BAD_IDS),
    *lines("FulfillOrder CancelOrder", LINE, "location_id", NO_IDS),
    *lines("PlaceOrder FulfillOrder CancelOrder", LINE, "quantity", NO_QUANTITIES),
    *lines("FulfillOrder", LINE, "lot_id", BAD_IDS),
    *lines("FulfillOrder", {**LINE, "lot_id": "L"}, "serials", [["S", "S"]]),
    *lines("FulfillOrder", {**LINE, "lot_id": "L"}, "serials", [["S", ""]], "lines[1].serials[1]"),
    *lines("FulfillOrder", {**LINE, "lot_id": "L"}, "serials", [["S"]], "lines[1]"),
    *lines("FulfillOrder", LINE, "serials", [["S", "T"]], "lines[1]"),
    *lines("ReturnOrder", BACK, "sku", NO_IDS),
    *lines("ReturnOrder", BACK, "location_id", NO_IDS),
    *lines("ReturnOrder", BACK, "quantity", NO_QUANTITIES),
    *lines("ReturnOrder", BACK, "disposition", [0, 99]),
    *lines("ReturnOrder", BACK, "disposition", ["RETURN_DISPOSITION_WRITE_OFF"], "lines[1]"),
    *lines("ReturnOrder", BACK, "write_off_reason", ["MOVEMENT_REASON_DAMAGE"], "lines[1]"),
    *lines(
        "ReturnOrder",
        {**BACK, "disposition": "RETURN_DISPOSITION_WRITE_OFF", "write_off_reason": "MOVEMENT_REASON_DAMAGE"},
        "write_off_reason",
        ["MOVEMENT_REASON_SALE", 99],
    ),
    *receipts("ReturnOrder", "lines[0].", _line_of(BACK)),
    *lines("ReturnOrder", BACK, "lot", [{"lot_id": "L", "serials": ["S"]}], "lines[1]"),
    *each(ORDERED, "order_id", BAD_UUIDS),
]
TRANSFER_CASES: list[Case] = [
    *each("DispatchTransfer", "lines", [[], [SENT] * 101]),
    *each("ReceiveTransfer", "lines", [[SENT] * 101]),
    *each("DispatchTransfer", "source_location_id", [None], "origin"),
    *each("DispatchTransfer", "source_location_id", NO_IDS),
    *each("DispatchTransfer", "source_location_id", ["ST"], ""),
    *each("DispatchTransfer", "supplier", NO_IDS),
    *each("DispatchTransfer", "destination_location_id", NO_IDS),
    *each("DispatchTransfer", "expected_arrival_time", NO_TIMES),
    *each("DispatchTransfer", "reference", BAD_REFERENCES),
    *lines("DispatchTransfer ReceiveTransfer", SENT, "sku", NO_IDS),
    *lines("DispatchTransfer ReceiveTransfer", SENT, "quantity", NO_QUANTITIES),
    *choices("DispatchTransfer", "lines[0].", _line_of(SENT)),
    *receipts("ReceiveTransfer", "lines[0].", _line_of(SENT)),
    *lines("DispatchTransfer ReceiveTransfer", SENT, "lot", [{"lot_id": "L", "serials": ["S"]}], "lines[1]"),
    ("DispatchTransfer", {"supplier": "ACME", "lines": [{**SENT, "lot": {"lot_id": "L"}}]}, ""),
    *each("ReceiveTransfer", "close", [True], ""),
    *each("ReceiveTransfer", "write_off_reason", ["MOVEMENT_REASON_LOSS"], ""),
    ("ReceiveTransfer", {"close": True, "write_off_reason": "MOVEMENT_REASON_SALE"}, "write_off_reason"),
    *each(CARRIED, "transfer_id", BAD_UUIDS),
]
CATALOG_CASES: list[Case] = [
    *each(ITEMS, "sku", NO_IDS),
    *each("CreateItem CreateLocation", "name", [""]),
    *each("CreateItem", "kind", [99, -1]),
    *each("CreateItem", "unit_of_measure", ["x" * 33, *CONTROL]),
    *texts("CreateItem"),
    *texts("UpdateItem", "item."),
    *each("CreateItem", "parent_sku", BAD_IDS),
    *each("CreateItem", "option_values", [{"size": "L"}], ""),
    *each("CreateItem", "counted", [True], ""),
    *each("CreateItem", "kind", ["ITEM_KIND_BUNDLE"], ""),
    ("CreateItem", {"kind": "ITEM_KIND_DIGITAL", "lot_tracked": True}, ""),
    ("CreateItem", {"components": [{"sku": "MUG", "quantity": 1}]}, ""),
    *(
        ("CreateItem", {"kind": "ITEM_KIND_BUNDLE", "components": bad}, path)
        for bad, path in (
            ([{"sku": str(n), "quantity": 1} for n in range(51)], "components"),
            ([{"sku": "MUG", "quantity": 1}] * 2, "components"),
            *(([{"sku": bad, "quantity": 1}], "components[0].sku") for bad in NO_IDS),
            *(([{"sku": "MUG", "quantity": bad}], "components[0].quantity") for bad in (0, -1, MOST + 1)),
        )
    ),
    *each("UpdateItem ArchiveItem UpdateLocation DeactivateLocation", "expected_version", [0, -1]),
    *each("UpdateItem UpdateLocation", "update_mask", [None, {}, {"paths": ["name"] * 21}]),
    *each("UpdateItem", "update_mask", [{"paths": [one]} for one in ("sku", "kind", "", "item.name", "*")]),
    *each("UpdateLocation", "update_mask", [{"paths": [one]} for one in ("location_id", "state", "", "*")]),
    *each("UpdateItem", "item", [{}], ""),
    *each("UpdateLocation", "location", [{}], ""),
    ("UpdateLocation", {"update_mask": {"paths": ["kind"]}}, ""),
    *each(LOCATIONS, "location_id", NO_IDS),
    *each("CreateLocation", "kind", [0]),
    *places("CreateLocation"),
    *places("UpdateLocation", "location."),
]
CASES: list[Case] = [
    *each(ALL, "request_id", BAD_REQUEST_IDS),
    *each("BatchStock StreamStock", "commands", [[], [{"add": ADD}] * 1001]),
    *each("StreamStock", "sequence", [-1]),
    *each("BatchReserveStock BatchCreateItems", "commands", [[], [{}] * 1001]),
    *STOCK_CASES,
    *RESERVATION_CASES,
    *ORDER_CASES,
    *TRANSFER_CASES,
    *CATALOG_CASES,
]
