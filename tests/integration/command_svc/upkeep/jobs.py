"""Jobs of the upkeep, done at once."""

from __future__ import annotations

from datetime import timedelta

from command_svc.store.upkeep import UpkeepStore

AT_ONCE = timedelta(0)
DAILY = ("requests", "journal")


async def dropped(store: UpkeepStore) -> list[str]:
    """Do the job of expiry to its end; return what it dropped, in that order."""
    names = []
    while name := await store.drop_expired_partition(AT_ONCE):
        names.append(name)
    return names
