"""Where in a cluster a key lies. Pure."""

from binascii import crc_hqx
from collections.abc import Sequence
from typing import Any, NamedTuple

from query_svc.read_model.server import Command

SLOTS = 16384
# Commands whose keys come after their number.
_NUMBERED = {"FCALL", "FCALL_RO", "EVAL", "EVALSHA"}
_KEYLESS = {"PING", "FUNCTION", "PUBLISH", "CLUSTER", "SCAN"}


class Node(NamedTuple):
    """The address of a node."""

    host: str
    port: int


def slot_of(command: Command) -> int | None:
    """Return the slot of a command's first key, by which its others must lie; None where it has none."""
    name = command[0]
    if name in _KEYLESS:
        return None
    if name in _NUMBERED:
        return key_slot(command[3]) if command[2] else None
    if name == "XREAD":
        return key_slot(command[command.index("STREAMS") + 1])
    return key_slot(command[1])


def key_slot(key: str | bytes | int) -> int:
    """Return the slot of a key: that of the tag in its first braces, unless that is empty."""
    packed = key if isinstance(key, bytes) else str(key).encode()
    begin = packed.find(b"{")
    if begin >= 0:
        end = packed.find(b"}", begin + 1)
        if end > begin + 1:
            packed = packed[begin + 1 : end]
    return crc_hqx(packed, 0) % SLOTS


def nodes_of(answer: Sequence[Sequence[Any]], seed: str) -> list[Node | None]:
    """Return the master of each slot, None where there is none, from the answer to CLUSTER SLOTS.

    A node that does not know its own host is at that of the address asked, `seed`.
    """
    found: list[Node | None] = [None] * SLOTS
    for first, last, master, *_ in answer:
        host = (master[0] or b"").decode()
        node = Node(host if host and host != "?" else seed, int(master[1]))
        found[int(first) : int(last) + 1] = [node] * (int(last) - int(first) + 1)
    return found
