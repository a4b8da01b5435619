"""Any command at any time, on a few items and places that all share."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.commands import Command, Outcome
from command_svc.domain.levels import LevelKey
from command_svc.domain.lot import LotReceipt
from command_svc.domain.orders import CancelOrder, FulfillOrder, OrderOutcome, PlaceOrder
from command_svc.domain.reservations import (
    CancelReservation,
    ConfirmReservation,
    ReserveStock,
    Resolution,
)
from command_svc.domain.returns import ReturnedUnits, ReturnOrder
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, MoveStock, RemoveStock
from command_svc.domain.transfers import (
    CancelTransfer,
    DispatchedLine,
    DispatchTransfer,
    ReceiveTransfer,
    TransferOutcome,
)

TERMS = Terms(Strategy("PRIORITY"))
LATER = TERMS._replace(backorder=True)
# What commands on the same things refuse when another was there before.
BEATEN = {
    "INSUFFICIENT_STOCK",
    "ORDER_CLOSED",
    "EXCEEDS_ORDER",
    "RESERVATION_RESOLVED",
    "RESERVATION_EXPIRED",
    "TRANSFER_RESOLVED",
}


@dataclass
class Market:
    """What several lanes do things to: an item, one of lots, a bundle of both, and promises of them."""

    mug: str
    milk: str
    gift: str
    places: list[str]
    orders: list[UUID] = field(default_factory=list)
    holds: list[UUID] = field(default_factory=list)
    transfers: list[UUID] = field(default_factory=list)

    @property
    def levels(self) -> list[LevelKey]:
        """The levels that there are."""
        return [LevelKey(sku, place) for sku in (self.milk, self.mug) for place in self.places]

    def lot(self, level: LevelKey, rng: random.Random) -> LotReceipt | None:
        """Return a lot that units which come to a level belong to."""
        return LotReceipt(rng.choice("abc")) if level.sku == self.milk else None

    def command(self, rng: random.Random) -> Command:
        """Return any command."""
        level, place = rng.choice(self.levels), rng.choice([*self.places, None])
        there = level._replace(location_id=self.places[self.places[0] == level.location_id])
        units = rng.randint(1, 3)
        lines = (WantedLine(rng.choice([self.mug, self.milk, self.gift]), place, units),)
        sent = (DispatchedLine(level.sku, units),)
        choices: list[Command] = [
            AddStock(level, units, "RECEIPT", lot=self.lot(level, rng)),
            AddStock(level, 1, "RECEIPT", lot=self.lot(level, rng)),
            RemoveStock(level, units, "SALE"),
            MoveStock(level, there, units, "REBALANCE"),
            PlaceOrder(lines, rng.choice([TERMS, LATER])),
            ReserveStock(lines, timedelta(microseconds=rng.choice([1, 60_000_000])), TERMS),
            DispatchTransfer(level.location_id, "", there.location_id, sent),
        ]
        for one in rng.choices(self.orders, k=min(1, len(self.orders))):
            back = ReturnedUnits(level, 1, self.lot(level, rng))
            choices += [FulfillOrder(one), CancelOrder(one), ReturnOrder(one, (back,))]
        for one in rng.choices(self.holds, k=min(1, len(self.holds))):
            choices += [ConfirmReservation(one), CancelReservation(one)]
        for one in rng.choices(self.transfers, k=min(1, len(self.transfers))):
            choices += [ReceiveTransfer(one), CancelTransfer(one)]
        return rng.choice(choices)

    def note(self, answer: Outcome | str) -> str:
        """Remember what an answer has made; return in a word what it was."""
        match answer:
            case OrderOutcome():
                self.orders.append(answer.order.order_id)
            case Resolution():
                self.holds.append(answer.reservation.reservation_id)
            case TransferOutcome():
                self.transfers.append(answer.transfer.transfer_id)
        return answer if isinstance(answer, str) else "accepted"
