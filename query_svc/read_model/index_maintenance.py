"""What stands in the indexes, looked at beside the rows: entries that no row has are found and withdrawn.

The function call that changes a row changes its entries in the same step, so the row's value says what they
are for as long as it is stored. An entry that is no part of that, before and after a look at it, is left over
from somewhere else.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from query_svc.read_model import functions, indexes, scan
from query_svc.read_model.keys import BUCKETS, Keys
from query_svc.read_model.line import Command, Line
from query_svc.read_model.naming import Name, empty_row, entries_of, stored_row


class Listed(NamedTuple):
    """An entry: a member of the part of an index, by its name, that a bucket keeps."""

    name: str
    bucket: int
    member: bytes

    def __str__(self) -> str:
        shown = self.member.decode(errors="replace").replace("\0", " ")
        return f"{shown!r} of {self.name}, bucket {self.bucket}"


class IndexMaintenance:
    """Works on the indexes of one generation, whoever else writes to it.

    Raises ReadModelUnavailableError when Redis does not answer.
    """

    def __init__(self, line: Line, keys: Keys) -> None:
        self._line = line
        self._keys = keys

    async def listed(self) -> AsyncIterator[list[Listed]]:
        """Yield every entry there is, in pages of some thousands and in no order; some may come twice.

        Many round trips. What comes or goes meanwhile may or may not be among them.
        """
        for index in indexes.OWNERS:
            buckets = {self._keys.of_bucket(bucket, index): bucket for bucket in range(BUCKETS)}
            async for page in scan.members(self._line, list(buckets)):
                yield [Listed(index, buckets[key], name) for key, name in page]

    async def left_over(self, listed: Sequence[Listed]) -> list[Listed]:
        """Return those entries that no row has. Up to two round trips.

        Where a row cannot be decoded, it is not known which entries it has: then none of them is returned.
        """
        owners = {one: self._owner(one) for one in listed}
        found = [one for one, owner in owners.items() if owner is None]
        values = await self._values({owner for owner in owners.values() if owner})
        doubtful = [one for one, owner in owners.items() if owner and self._lacks(one, owner, values[owner])]
        if not doubtful:
            return found
        commands: list[Command] = []
        for one in doubtful:
            look = self._look(*(owners[one] or ("", ())))
            key = self._keys.of_bucket(one.bucket, one.name)
            commands += (look, ("ZSCORE", key, one.member), look)
        answers = iter(await self._line.ask(commands))
        for one, before, score, after in zip(doubtful, answers, answers, answers, strict=True):
            owner = owners[one]
            if owner and score is not None and before == after and self._lacks(one, owner, after):
                found.append(one)
        return found

    async def withdraw(self, left_over: Sequence[Listed]) -> int:
        """Take away entries that `left_over` has returned, and return how many that were.

        One that a row has come to have since stays. Two round trips.
        """
        owners = {one: self._owner(one) for one in left_over}
        values = await self._values({owner for owner in owners.values() if owner})
        commands: list[Command] = []
        for one, owner in owners.items():
            if owner is None:
                commands.append(("ZREM", self._keys.of_bucket(one.bucket, one.name), one.member))
                continue
            value = values[owner]
            row = stored_row(self._keys, *owner, value)
            if row is not None and self._lacks(one, owner, value):
                former = f"{one.name}\1{one.member.decode()}\2"
                commands.append(functions.replacement(self._keys, row, value or b"", value or b"", former))
        return sum(await functions.call(self._line, commands)) if commands else 0

    def _owner(self, listed: Listed) -> tuple[str, Name] | None:
        """Return whose entry it would be; None for one that nobody can have there."""
        try:
            owner = indexes.owner(listed.name, listed.member.decode())
        except UnicodeDecodeError:
            return None
        if owner is None or empty_row(self._keys, *owner).bucket != listed.bucket:
            return None
        return owner

    def _lacks(self, listed: Listed, owner: tuple[str, Name], value: bytes | None) -> bool:
        """Tell whether a row with a value certainly does not have the entry."""
        row = stored_row(self._keys, *owner, value)
        return row is not None and (listed.name, listed.member.decode()) not in entries_of(row)

    def _look(self, kind: str, name: Name) -> Command:
        row = empty_row(self._keys, kind, name)
        return ("HGET", row.key, row.field)

    async def _values(self, owners: set[tuple[str, Name]]) -> dict[tuple[str, Name], bytes | None]:
        """Return what is stored of rows."""
        ordered = list(owners)
        values = await self._line.ask([self._look(*owner) for owner in ordered]) if ordered else []
        return dict(zip(ordered, values, strict=True))
