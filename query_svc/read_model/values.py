"""What the read model keeps of a thing: a version in decimal, a mark, a serialised message.

The version stands in front, so that Redis can compare it without knowing the message. The mark says whether
there are entries in indexes that the next version may end.
"""

from typing import TypeVar

from google.protobuf.message import Message

from inventory.type.v1.stock_pb2 import StockLevel

NO_ENTRIES = b" "
HAS_ENTRIES = b"*"

ONE_BYTE_LENGTHS = 128
"""Lengths below this take one byte in a message; those of names, below the square of it, two otherwise."""

M = TypeVar("M", bound=Message)


def pack(version: int, message: Message, *, has_entries: bool = False) -> bytes:
    """Return the stored form of a message at a version: the same bytes for the same message."""
    mark = HAS_ENTRIES if has_entries else NO_ENTRIES
    return b"%d%s%s" % (version, mark, message.SerializeToString(deterministic=True))


def unpack(kind: type[M], value: bytes) -> M:
    """Return the message of a stored value. Raise DecodeError when it holds none."""
    return kind.FromString(value.lstrip(b"0123456789")[1:])


def version_of(value: bytes) -> int:
    """Return the version of a stored value, 0 when it begins with none."""
    digits = len(value) - len(value.lstrip(b"0123456789"))
    return int(value[:digits] or b"0")


def pack_level(level: StockLevel, *, has_entries: bool = False) -> bytes:
    """Return the stored form of a level, without the two names that its key and field already say.

    That keeps nearly every value under the 64 bytes up to which Redis packs a small hash.
    """
    # They are the first two fields, and so the first bytes: cut off, which is quicker than a copy without.
    named = level.SerializeToString(deterministic=True)
    mark = HAS_ENTRIES if has_entries else NO_ENTRIES
    return b"%d%s%s" % (level.version, mark, named[_size(level.sku) + _size(level.location_id) :])


def unpack_level(sku: str, location_id: str, value: bytes) -> StockLevel:
    """Return the level of a stored value. Raise DecodeError when it holds none."""
    level = unpack(StockLevel, value)
    level.sku = sku
    level.location_id = location_id
    return level


def _size(text: str) -> int:
    """Return how many bytes a text takes in a message, none when it is empty."""
    length = len(text.encode())
    return length and length + (2 if length < ONE_BYTE_LENGTHS else 3)
