"""What the read model keeps under a key: a version in decimal, a space, a serialised message.

The version stands in front, so that Redis can compare it without knowing the message.
"""

from typing import TypeVar

from google.protobuf.message import Message

from inventory.type.v1.stock_pb2 import StockLevel

M = TypeVar("M", bound=Message)


def pack(version: int, message: Message) -> bytes:
    """Return the stored form of a message at a version: the same bytes for the same message."""
    return b"%d %s" % (version, message.SerializeToString(deterministic=True))


def unpack(kind: type[M], value: bytes) -> M:
    """Return the message of a stored value. Raise DecodeError when it holds none."""
    return kind.FromString(value.partition(b" ")[2])


def pack_level(level: StockLevel) -> bytes:
    """Return the stored form of a level, without the two names that its key and field already say.

    That keeps nearly every value under the 64 bytes up to which Redis packs a small hash.
    """
    nameless = StockLevel()
    nameless.CopyFrom(level)
    nameless.ClearField("sku")
    nameless.ClearField("location_id")
    return pack(level.version, nameless)


def unpack_level(sku: str, location_id: str, value: bytes) -> StockLevel:
    """Return the level of a stored value. Raise DecodeError when it holds none."""
    level = unpack(StockLevel, value)
    level.sku = sku
    level.location_id = location_id
    return level
