"""What the service could not do, or not now."""

from __future__ import annotations

from .error import InventoryError


class QueueFullError(InventoryError):
    """More commands wait than the service takes in; nothing was tried."""


class RateLimitedError(InventoryError):
    """The caller has had as many calls a second as it may have; nothing was tried."""


class UnavailableError(InventoryError):
    """The service was not reached or could not answer; a command's outcome is unknown."""


class DependencyUnavailableError(UnavailableError):
    """A part the answer depends on does not answer. Metadata: dependency."""


class DeadlineExceededError(InventoryError):
    """The deadline passed first; a command's outcome is unknown."""


class InternalError(InventoryError):
    """A fault of the service. Metadata: error_id, under which it is logged."""
