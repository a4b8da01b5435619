"""Refusals that are about a watch, and about the way to the view."""

from __future__ import annotations

from .error import InventoryError, NotFoundError


class InvalidCursorError(InventoryError):
    """The cursor is not one that a watch has handed out. Metadata: cursor."""


class CursorExpiredError(InventoryError):
    """Changes after the cursor are no longer kept: list the levels again, or watch anew."""


class WatchTooSlowError(InventoryError):
    """The watch was not read as fast as changes came. Metadata: waiting, limit."""


class DeadLetterNotFoundError(NotFoundError):
    """No dead letter has this id, or it has been dealt with. Metadata: dead_letter_id."""


class RebuildUnderWayError(InventoryError):
    """Another rebuild of the view is under way. Metadata: generation, state, actor."""
