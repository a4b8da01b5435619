"""A field that is new in an item, with projectors and queries of before and after it side by side."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from cdc.projector import project
from inventory.journal.v1.transaction_pb2 import Transaction
from query_svc.read_model import Changes, ReadModel, ReadModelWriter
from query_svc.read_model.keys import GENERATION, Keys, bucket_of
from query_svc.read_model.values import unpack
from tests.later import later_of
from tests.redis_cluster import Servers
from tests.stock import item, transaction

SOURCE = "inventory.journal:id-0"
VERSIONS = 8


@pytest.fixture(scope="module")
def later() -> type[Message]:
    """Give the journal's Transaction as a later contract has it: an item has a colour."""
    return later_of(Transaction.DESCRIPTOR)


@pytest.mark.parametrize("first", ["old", "new"])
async def test_what_an_old_projector_does_not_know_it_keeps(
    fresh: Servers, writer: ReadModelWriter, view: ReadModel, later: type[Message], first: str
) -> None:
    """They take turns, as when one is deployed while the other still runs."""
    await writer.resume(SOURCE)
    for version in range(1, VERSIONS + 1):
        value = _coloured(later, version)
        if (version % 2 == 0) == (first == "old"):
            (found,) = later.FromString(value).items  # type: ignore[attr-defined]
            changes = Changes(items=[found])
        else:
            changes = project([value]).changes
        await writer.apply(changes, version)
        # An old query reads what it knows, a new one all of it.
        old = await view.item("MUG-1")
        assert old is not None
        assert (old.name, old.version) == (item("MUG-1", version).name, version)
        assert _stored(fresh, later) == f"colour {version}"


def _coloured(later: type[Message], version: int) -> bytes:
    """Return a record of the journal that a later command service has written."""
    message = later.FromString(transaction(version, item("MUG-1", version)).SerializeToString())
    message.items[0].colour = f"colour {version}"  # type: ignore[attr-defined]
    return message.SerializeToString()


def _stored(servers: Servers, later: type[Message]) -> str:
    """Return the colour that a later query service reads."""
    with servers.client() as client:
        value = client.hget(Keys(GENERATION).items(bucket_of("MUG-1")), "MUG-1")
    kind = type(later().items.add())  # type: ignore[attr-defined]
    return str(unpack(kind, bytes(value)).colour)
