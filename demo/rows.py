"""One row of an order file: what it says in clean types, or why it cannot be used."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)

# What the shop books under a code that is no thing on a shelf.
NO_STOCK = frozenset({"AMAZONFEE", "B", "BANK CHARGES", "C2", "CRUK", "D", "DOT", "M", "POST", "S"})
VOUCHER = "GIFT_"

LARGEST_QUANTITY = 10**12
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)

_INVOICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_SKU = re.compile(r"[A-Z0-9][A-Z0-9._:/-]{0,63}")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Unusable(StrEnum):
    """Why a row is set aside, in words."""

    SHAPE = "not a row of these columns"
    INVOICE = "invoice number missing or unusable"
    NO_CODE = "stock code missing"
    NO_STOCK_ITEM = "no stock item: postage, fees, vouchers"
    CODE = "stock code unusable"
    QUANTITY = "quantity missing or no whole number"
    ZERO_QUANTITY = "quantity is zero"
    QUANTITY_RANGE = "quantity out of range"
    CANCELLATION = "cancellation that takes goods"
    DATE = "date missing or unreadable"
    DATE_RANGE = "date out of range"
    PRICE = "price missing, negative or unreadable"


class UnusableRowError(Exception):
    """A row that says nothing usable: the reason, and what stands in the row."""

    def __init__(self, reason: Unusable, example: str) -> None:
        super().__init__(f"{reason}: {example}")
        self.reason = reason
        self.example = example


class Row(NamedTuple):
    """A usable row: SKU in capitals, quantity not 0, time in UTC, customer and description perhaps empty."""

    invoice: str
    sku: str
    description: str
    quantity: int
    time: datetime
    price: float
    customer: str

    @property
    def is_cancellation(self) -> bool:
        """Whether the invoice cancels an earlier one."""
        return self.invoice.startswith("C")

    @property
    def is_free_to_nobody(self) -> bool:
        """Whether nobody bought anything here: the shop notes a change of its stock."""
        return self.price == 0 and not self.customer


def parse(fields: Mapping[str | None, Any], now: datetime) -> Row:
    """Return a row of csv.DictReader in clean types; UnusableRowError names the first fault found.

    `now` is the end of the range of dates: what has not happened yet is not in the books.
    """
    values: list[Any] = [fields.get(column) for column in COLUMNS]
    # csv.DictReader keeps surplus values under None, and fills a short row up with None.
    if None in fields or None in values:
        found = (value for value in fields.values() if isinstance(value, str))
        raise UnusableRowError(Unusable.SHAPE, _words(*found))
    invoice, code, description, quantity_text, time_text, price_text, customer, _ = (
        value.strip() for value in values
    )
    if not _INVOICE.fullmatch(invoice):
        raise UnusableRowError(Unusable.INVOICE, _words(invoice, code, description))
    sku = _sku(code, description)
    quantity = _quantity(quantity_text, code)
    if invoice.startswith("C") and quantity > 0:
        raise UnusableRowError(Unusable.CANCELLATION, _words(invoice, code, quantity_text))
    time = _time(time_text, now)
    description = _CONTROL.sub(" ", description)[:200].rstrip()
    return Row(invoice, sku, description, quantity, time, _price(price_text, code), customer)


def _words(*parts: str) -> str:
    return _CONTROL.sub(" ", " ".join(part for part in parts if part))[:60] or "(empty)"


def _sku(code: str, description: str) -> str:
    sku = code.upper()
    if not sku:
        raise UnusableRowError(Unusable.NO_CODE, _words(description))
    if sku in NO_STOCK or sku.startswith(VOUCHER):
        raise UnusableRowError(Unusable.NO_STOCK_ITEM, _words(code))
    if not _SKU.fullmatch(sku):
        raise UnusableRowError(Unusable.CODE, _words(code))
    return sku


def _quantity(text: str, code: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text):
        raise UnusableRowError(Unusable.QUANTITY, _words(code, text))
    quantity = int(text) if len(text) <= len(str(LARGEST_QUANTITY)) + 1 else LARGEST_QUANTITY + 1
    if quantity == 0:
        raise UnusableRowError(Unusable.ZERO_QUANTITY, _words(code))
    if abs(quantity) > LARGEST_QUANTITY:
        raise UnusableRowError(Unusable.QUANTITY_RANGE, _words(code, text))
    return quantity


def _time(text: str, now: datetime) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UnusableRowError(Unusable.DATE, _words(text)) from None
    if not EARLIEST <= time <= now:
        raise UnusableRowError(Unusable.DATE_RANGE, _words(text))
    return time


def _price(text: str, code: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    if not 0 <= price < math.inf:
        raise UnusableRowError(Unusable.PRICE, _words(code, text))
    return price
