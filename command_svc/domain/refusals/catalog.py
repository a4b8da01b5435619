"""Refusals about items and locations."""

from __future__ import annotations

from collections.abc import Mapping

from command_svc.domain.refusals.refusal import Refusal


class ItemNotFoundError(Refusal):
    """No item has the SKU."""

    reason = "ITEM_NOT_FOUND"

    def __init__(self, sku: str) -> None:
        super().__init__(f"there is no item {sku}: create it first", sku=sku)


class LocationNotFoundError(Refusal):
    """No location has the id."""

    reason = "LOCATION_NOT_FOUND"

    def __init__(self, location_id: str) -> None:
        super().__init__(f"there is no location {location_id}: create it first", location_id=location_id)


class ItemAlreadyExistsError(Refusal):
    """Another item has the SKU."""

    reason = "ITEM_ALREADY_EXISTS"

    def __init__(self, sku: str) -> None:
        super().__init__(f"there is already an item {sku}", sku=sku)


class LocationAlreadyExistsError(Refusal):
    """Another location has the id."""

    reason = "LOCATION_ALREADY_EXISTS"

    def __init__(self, location_id: str) -> None:
        super().__init__(f"there is already a location {location_id}", location_id=location_id)


class ItemArchivedError(Refusal):
    """The item takes no new stock and no new promises."""

    reason = "ITEM_ARCHIVED"

    def __init__(self, sku: str) -> None:
        super().__init__(f"item {sku} is archived: it takes no new stock or promises", sku=sku)


class ItemInUseError(Refusal):
    """Stock or promises of the item remain; `figures` are their sums over all locations."""

    reason = "ITEM_IN_USE"

    def __init__(self, sku: str, figures: Mapping[str, int]) -> None:
        left = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in figures.items() if count)
        super().__init__(f"item {sku} cannot be archived: {left} remain", sku=sku, **figures)


class InvalidParentError(Refusal):
    """The item cannot be a variant of that parent."""

    reason = "INVALID_PARENT"

    def __init__(self, sku: str, parent_sku: str, why: str) -> None:
        super().__init__(
            f"item {sku} cannot be a variant of {parent_sku}: {why}", sku=sku, parent_sku=parent_sku
        )


class InvalidComponentError(Refusal):
    """The item cannot be part of the bundle."""

    reason = "INVALID_COMPONENT"

    def __init__(self, sku: str, component_sku: str, why: str) -> None:
        super().__init__(
            f"bundle {sku} cannot contain {component_sku}: {why}", sku=sku, component_sku=component_sku
        )


class LocationInactiveError(Refusal):
    """The location takes no new stock and no new promises."""

    reason = "LOCATION_INACTIVE"

    def __init__(self, location_id: str) -> None:
        super().__init__(
            f"location {location_id} is inactive: it takes no new stock or promises",
            location_id=location_id,
        )
