"""Stock on its way, as it is kept: transfers between locations and deliveries that are expected."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from command_svc.domain.levels import LevelKey

IN_TRANSIT, RECEIVED, CANCELLED = "IN_TRANSIT", "RECEIVED", "CANCELLED"


class TransferLine(NamedTuple):
    """Units of one lot on the way; `lot_id` is empty where lots are not kept or not known yet.

    `serials` are those of the units that are under way, as far as they were named.
    """

    sku: str
    quantity: int
    received: int = 0
    written_off: int = 0
    returned: int = 0
    lot_id: str = ""
    serials: tuple[str, ...] = ()

    @property
    def under_way(self) -> int:
        """Units that have neither arrived nor been given up."""
        return self.quantity - self.received - self.written_off - self.returned


@dataclass(frozen=True, slots=True)
class Transfer:
    """Units on their way to a location: in transit, then exactly once received or cancelled.

    They come from the location `source_location_id` or, when that is empty, from the `supplier`.
    """

    transfer_id: UUID
    state: str
    source_location_id: str
    supplier: str
    destination_location_id: str
    lines: tuple[TransferLine, ...]
    expected_arrival_time: datetime | None
    reference: str
    actor: str
    version: int
    create_time: datetime
    update_time: datetime

    def source(self, sku: str) -> LevelKey:
        """Return the level that units of an item left."""
        return LevelKey(sku, self.source_location_id)

    def destination(self, sku: str) -> LevelKey:
        """Return the level that units of an item go to."""
        return LevelKey(sku, self.destination_location_id)
