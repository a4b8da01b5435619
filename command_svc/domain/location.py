"""Places that hold stock, as they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from command_svc.domain.levels import NEVER
from command_svc.domain.sourcing import Site

ACTIVE, INACTIVE = "ACTIVE", "INACTIVE"


@dataclass(frozen=True, slots=True)
class Location:
    """A place that holds stock. `coordinates` are latitude and longitude in degrees."""

    location_id: str
    name: str
    kind: str
    region_code: str = ""
    postal_code: str = ""
    locality: str = ""
    address_lines: tuple[str, ...] = ()
    coordinates: tuple[float, float] | None = None
    time_zone: str = "UTC"
    priority: int = 0
    ships_online_orders: bool = False
    state: str = ACTIVE
    version: int = 1
    create_time: datetime = NEVER
    update_time: datetime = NEVER

    @property
    def is_active(self) -> bool:
        """Whether it takes new stock and promises."""
        return self.state == ACTIVE

    @property
    def site(self) -> Site | None:
        """The location as one that may serve units without a location, None if it may not."""
        serves = self.is_active and self.ships_online_orders
        return Site(self.location_id, self.priority, self.coordinates) if serves else None
