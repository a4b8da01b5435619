"""Refusals that are about quantities, lots and serials."""

from __future__ import annotations

from .error import AlreadyExistsError, InventoryError, NotFoundError


class LevelNotFoundError(NotFoundError):
    """The item has never been stocked at the location. Metadata: sku, location_id."""


class InsufficientStockError(InventoryError):
    """Fewer units are free than asked for.

    Metadata: sku, location_id (empty for units asked for wherever they are), requested, available, lot_id
    (where one was named).
    """


class QuantityOutOfRangeError(InventoryError):
    """The level would pass its limit. Metadata: sku, location_id, requested, on_hand, in_transit, limit."""


class BackordersOutstandingError(InventoryError):
    """More is backordered than the limit would allow. Metadata: sku, location_id, requested, backordered."""


class LotNotFoundError(NotFoundError):
    """The item has no such lot at the location. Metadata: sku, location_id, lot_id."""


class LotRequiredError(InventoryError):
    """The item is kept by lots, and the command names none. Metadata: sku."""


class LotNotTrackedError(InventoryError):
    """The item is not kept by lots, and the command names one. Metadata: sku, lot_id."""


class LotMismatchError(InventoryError):
    """The lot is known with another expiry date, or with none.

    Metadata: sku, location_id, lot_id, requested, expiry_date. The last is the date known; both dates are
    written 2027-03-31, and empty for none.
    """


class SerialNotFoundError(NotFoundError):
    """No unit with this serial is there to be taken. Metadata: sku, location_id, serial."""


class SerialAlreadyPresentError(AlreadyExistsError):
    """A unit with this serial is present, at location_id. Metadata: sku, serial, location_id."""


class SerialsRequiredError(InventoryError):
    """The serials must be named, one for each unit: fewer units than serials would be left.

    Metadata: sku, location_id, lot_id, requested, serials. The last is how many were named.
    """
