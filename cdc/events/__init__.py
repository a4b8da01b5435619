"""The public events of a transaction of the journal. Pure: the same transaction makes the same events."""

from cdc.events.event import Event, UnknownKindError
from cdc.events.making import make

__all__ = ["Event", "UnknownKindError", "make"]
