"""Refusals of what a request says or a caller may, whatever the request is about."""

from __future__ import annotations

from .error import InventoryError


class InvalidFieldError(InventoryError):
    """A field breaks its rule; `field_violations` names every such field. Metadata: field, the first."""


class RequestTooLargeError(InventoryError):
    """The body or the headers are larger than they may be."""


class AddressNotFoundError(InventoryError):
    """No method has the address that was called over HTTP."""


class InvalidPageTokenError(InventoryError):
    """The page token is not one this list has handed out. Metadata: page_token."""


class InvalidConsistencyTokenError(InventoryError):
    """The consistency token is none that a command has answered with. Metadata: consistency_token."""


class RequestIdReusedError(InventoryError):
    """The request id belongs to an earlier, different command. Metadata: request_id."""


class VersionMismatchError(InventoryError):
    """The level, item or location has changed since it was read.

    Metadata: expected_version, version, sku (of an item or a level), location_id (of a location or a level).
    """


class UnauthenticatedError(InventoryError):
    """The caller does not prove who it is. Metadata: cause ("expired": repeat with a new token)."""


class PermissionDeniedError(InventoryError):
    """None of the caller's roles may call the method. Metadata: method, roles."""


class StepUpRequiredError(PermissionDeniedError):
    """The caller must sign in anew. Metadata: method, max_age_seconds, acr_values, amr_values."""


class LocationNotAllowedError(PermissionDeniedError):
    """The caller acts at other locations. Metadata: location_id."""
