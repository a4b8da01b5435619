"""Refusals about lots and serial numbers."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from command_svc.domain.levels import LevelKey
from command_svc.domain.refusals.refusal import Refusal

if TYPE_CHECKING:
    from command_svc.domain.lot import LotKey


class LotRequiredError(Refusal):
    """The item is kept in lots, and the command names none."""

    reason = "LOT_REQUIRED"

    def __init__(self, sku: str) -> None:
        super().__init__(f"item {sku} is kept in lots: name the lot", sku=sku)


class LotNotTrackedError(Refusal):
    """The item is not kept in lots, and the command names one."""

    reason = "LOT_NOT_TRACKED"

    def __init__(self, sku: str, lot_id: str) -> None:
        super().__init__(f"item {sku} is not kept in lots: name none", sku=sku, lot_id=lot_id)


class LotNotFoundError(Refusal):
    """The location has no such lot of the item."""

    reason = "LOT_NOT_FOUND"

    def __init__(self, key: LotKey) -> None:
        super().__init__(f"there is no lot {key.lot_id} of {key.sku} at {key.location_id}", **key._asdict())


class LotMismatchError(Refusal):
    """The lot is known with another date."""

    reason = "LOT_MISMATCH"

    def __init__(self, key: LotKey, given: date | None, known: date | None) -> None:
        super().__init__(
            f"lot {key.lot_id} of {key.sku} at {key.location_id} expires on {known or 'no day'}, "
            f"not on {given or 'no day'}",
            **key._asdict(),
            requested=given or "",
            expiry_date=known or "",
        )


class SerialAlreadyPresentError(Refusal):
    """A unit with the serial number is in stock already."""

    reason = "SERIAL_ALREADY_PRESENT"

    def __init__(self, sku: str, serial: str, location_id: str) -> None:
        super().__init__(
            f"serial {serial} of {sku} is at {location_id} already",
            sku=sku,
            serial=serial,
            location_id=location_id,
        )


class SerialNotFoundError(Refusal):
    """No unit with the serial number is there."""

    reason = "SERIAL_NOT_FOUND"

    def __init__(self, key: LevelKey, serial: str) -> None:
        super().__init__(
            f"there is no serial {serial} of {key.sku} at {key.location_id} in that lot",
            **key._asdict(),
            serial=serial,
        )


class SerialsRequiredError(Refusal):
    """Each unit must be named by its serial number, or none: the units that would be left have more."""

    reason = "SERIALS_REQUIRED"

    def __init__(self, key: LotKey, units: int, named: int) -> None:
        super().__init__(
            f"{units} units of lot {key.lot_id} of {key.sku} at {key.location_id} need their serial numbers, "
            f"{named} were named",
            **key._asdict(),
            requested=units,
            serials=named,
        )
