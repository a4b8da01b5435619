"""How long the read model keeps a promise that is closed: a reservation, an order, a transfer. Pure.

What is open stays. What is closed stays for a while after its last change, then leaves: the database has all.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

CLOSED_DAYS = 30
FEWEST_CLOSED_DAYS = 8
"""A day longer than the journal is kept: a replay of it brings nothing back that has left."""
MOST_CLOSED_DAYS = 3650

SLACK = timedelta(hours=1)
"""So long may clocks, and what runs at a time, differ without a doubt whether something has to be there."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Keeps what is closed for `closed` after its last change, and lets it go within SLACK after that."""

    closed: timedelta = timedelta(days=CLOSED_DAYS)

    def kept_since(self, now: datetime) -> datetime:
        """Return the instant since which all that has changed is there."""
        return now - self.closed

    def gone_before(self, now: datetime) -> datetime:
        """Return the instant before which what was closed is to leave."""
        return now - self.closed - SLACK
