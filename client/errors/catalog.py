"""Refusals that are about an item or a location."""

from __future__ import annotations

from .error import AlreadyExistsError, InventoryError, NotFoundError


class ItemNotFoundError(NotFoundError):
    """No item has this SKU. Metadata: sku."""


class LocationNotFoundError(NotFoundError):
    """No location has this id. Metadata: location_id."""


class ItemAlreadyExistsError(AlreadyExistsError):
    """Another item has this SKU. Metadata: sku."""


class LocationAlreadyExistsError(AlreadyExistsError):
    """Another location has this id. Metadata: location_id."""


class ItemNotStockedError(InventoryError):
    """The item is not counted, so it has no stock. Metadata: sku, kind."""


class ItemArchivedError(InventoryError):
    """The item is archived: no new stock, no new promises. Metadata: sku."""


class ItemInUseError(InventoryError):
    """Stock or promises remain, as summed over all locations.

    Metadata: sku, on_hand, reserved, backordered, in_transit.
    """


class LocationInactiveError(InventoryError):
    """The location is inactive: no new stock, no new promises. Metadata: location_id."""


class InvalidParentError(InventoryError):
    """The parent does not exist, or is a variant itself. Metadata: sku, parent_sku."""


class InvalidComponentError(InventoryError):
    """The component does not exist, is not counted, or is a bundle itself. Metadata: sku, component_sku."""
