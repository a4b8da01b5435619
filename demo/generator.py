"""Makes up the orders of a homeware shop: the same ones for the same seed.

A few items sell all the time and most hardly ever (Zipf), baskets are small with a long tail, the day has a
morning, a noon and an evening, the weekend is busier. Now and then something comes back, breaks or turns up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import accumulate, product
from random import Random

from demo.events import DARK_STORE, STORE, WAREHOUSE, Day, Item, Line, Order
from inventory.type.v1 import stock_pb2

# A Monday, in the past: the days of a seed are always the same, and nothing is dated ahead.
FIRST_DAY = datetime(2025, 3, 3, tzinfo=UTC)
ORDERS_A_DAY = 700
# Of a day's sales, so many are remembered as what may come back.
REMEMBERED = 2_000

RANGE = {
    "kitchen": ("mug", "teapot", "cake tin", "kitchen scales", "recipe box"),
    "living": ("candle", "cushion", "photo frame", "wall clock", "lantern"),
    "garden": ("watering can", "plant pot", "bird table", "trowel", "hammock"),
    "paper": ("notebook", "wrapping paper", "birthday card", "calendar", "bunting"),
}
LOOKS = ("red", "blue", "cream", "green", "black", "copper", "striped", "dotted", "vintage", "plain")
SIZES = ("small", "large")

# How much is sold in each hour from midnight, on each day from Monday, and from where.
HOURS = (1, 1, 0, 0, 0, 1, 2, 4, 7, 9, 10, 11, 14, 12, 9, 8, 8, 10, 13, 15, 14, 10, 6, 3)
WEEK = (0.9, 0.85, 0.9, 1.0, 1.15, 1.3, 0.9)
PLACES = {WAREHOUSE: 5, STORE: 3, DARK_STORE: 2}

RETURNS = 0.04
WRITE_OFFS = 0.01
FINDS = 0.003
WRITE_OFF_REASONS = (
    stock_pb2.MOVEMENT_REASON_DAMAGE,
    stock_pb2.MOVEMENT_REASON_LOSS,
    stock_pb2.MOVEMENT_REASON_THEFT,
)


def gtin13(number: int) -> str:
    """Return a GTIN-13 of the range for use inside a company (prefix 2), with its check digit."""
    digits = f"2{number:011}"
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


def catalogue() -> dict[str, Item]:
    """Return the shop's 400 items by SKU, the same ones always."""
    things = [(category, thing) for category, names in RANGE.items() for thing in names]
    items = {}
    for number, ((category, thing), look, size) in enumerate(product(things, LOOKS, SIZES), start=1):
        sku = f"{category[:3].upper()}-{number:04}"
        name = f"{thing}, {look}, {size}".capitalize()
        items[sku] = Item(sku, name, category=f"home/{category}", barcode=gtin13(number))
    return items


class Generator:
    """A source of orders: `days` days of about `orders_a_day` orders over the catalogue, from a seed."""

    def __init__(self, seed: int, days: int, orders_a_day: int = ORDERS_A_DAY) -> None:
        self._seed = seed
        self._days = days
        self._orders_a_day = orders_a_day
        self._items = catalogue()

    def items(self) -> Mapping[str, Item]:
        """Return the catalogue."""
        return self._items

    def days(self) -> Iterator[Day]:
        """Yield the days in order."""
        shop = _Shop(Random(self._seed), list(self._items))  # noqa: S311 - repeatable on purpose
        for number in range(self._days):
            midnight = FIRST_DAY + timedelta(days=number)
            times = shop.times(midnight, round(self._orders_a_day * WEEK[midnight.weekday()]))
            yield Day(
                midnight.date(),
                tuple(
                    Order(f"{midnight:%y%m%d}-{serial:05}", shop.lines(time))
                    for serial, time in enumerate(times, start=1)
                ),
            )


class _Shop:
    """What happens next in the shop, drawn from one stream of chance."""

    def __init__(self, random: Random, skus: list[str]) -> None:
        self._random = random
        self._skus = skus
        random.shuffle(skus)  # what is popular has nothing to do with the catalogue's order
        self._popularity = list(accumulate(1 / (rank + 8) for rank in range(len(skus))))
        self._sold: deque[Line] = deque(maxlen=REMEMBERED)

    def times(self, midnight: datetime, count: int) -> list[datetime]:
        """Return `count` moments of a day in order."""
        hours = self._random.choices(range(24), weights=HOURS, k=count)
        return sorted(midnight + timedelta(hours=hour + self._random.random()) for hour in hours)

    def lines(self, time: datetime) -> tuple[Line, ...]:
        """Return the lines of one document."""
        chance = self._random.random()
        if chance < WRITE_OFFS:
            reason = self._random.choice(WRITE_OFF_REASONS)
            return (Line(self._pick(1)[0], WAREHOUSE, -self._random.randint(1, 3), reason, time),)
        if chance < WRITE_OFFS + FINDS:
            return (Line(self._pick(1)[0], WAREHOUSE, 1, stock_pb2.MOVEMENT_REASON_FOUND, time),)
        if chance < WRITE_OFFS + FINDS + RETURNS and self._sold:
            sale = self._random.choice(self._sold)
            back = self._random.randint(1, -sale.delta)
            return (Line(sale.sku, sale.location_id, back, stock_pb2.MOVEMENT_REASON_RETURN, time),)
        return self._sale(time)

    def _sale(self, time: datetime) -> tuple[Line, ...]:
        (place,) = self._random.choices(tuple(PLACES), weights=tuple(PLACES.values()))
        basket = dict.fromkeys(self._pick(1 + int(self._random.expovariate(1 / 2.5))))
        lines = tuple(
            Line(sku, place, -(1 + int(self._random.expovariate(1.2))), stock_pb2.MOVEMENT_REASON_SALE, time)
            for sku in basket
        )
        self._sold.extend(lines)
        return lines

    def _pick(self, count: int) -> list[str]:
        return self._random.choices(self._skus, cum_weights=self._popularity, k=count)
