"""Where a command handles units: what a caller who is bound to some locations is held to.

Of units under way, the end at which they are handled counts: they leave a clerk's location for another one,
and arrive at a clerk's from anywhere. Of units from a supplier, that end is the destination.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from command_svc.domain.commands import Command
from command_svc.domain.levels import CLOCKWORK, Movement, Quantities
from command_svc.domain.orders import CancelOrder, FulfillOrder, PlaceOrder
from command_svc.domain.refusals import LocationNotAllowedError
from command_svc.domain.reservations import ConfirmReservation, ReserveStock
from command_svc.domain.returns import ReturnOrder
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock, SetStockPolicy
from command_svc.domain.transfers import DispatchTransfer


def named(command: Command) -> Iterator[str]:
    """Yield the locations at which a command says that it handles units."""
    match command:
        case AddStock() | RemoveStock() | AdjustStock() | SetStockPolicy():
            yield command.key.location_id
        case MoveStock():
            yield command.source.location_id
            yield command.destination.location_id
        case ReserveStock() | PlaceOrder():
            for wanted in command.lines:
                if wanted.location_id is not None:
                    yield wanted.location_id
        case ConfirmReservation() | FulfillOrder() | CancelOrder() | ReturnOrder():
            for line in command.lines:
                yield line.key.location_id
        case DispatchTransfer():
            yield command.source_location_id or command.destination_location_id
        case _:
            pass  # it names a reservation, an order or a transfer alone, or nothing with units


def hold(movements: Iterable[Movement], locations: Collection[str]) -> None:
    """Raise LocationNotAllowedError unless what a command has led to lies in `locations`.

    Who is bound to locations leads to something at one of them, or is refused.
    """
    own = [one for one in movements if one.why.cause is not CLOCKWORK]
    handled = [one for one in own if not _is_announced(one.delta)] or own
    places = dict.fromkeys(one.level.key.location_id for one in handled)
    for location_id in places or ("",):
        if location_id not in locations:
            raise LocationNotAllowedError(location_id)


def _is_announced(delta: Quantities) -> bool:
    return bool(delta.in_transit) and not (delta.on_hand or delta.reserved or delta.backordered)
