"""The names under which the read model keeps things in Redis.

Every key carries a generation, so that a rebuild can fill a new one beside the live one, and the tag of
a bucket, so that everything one function call touches lies in one slot of a cluster.
"""

from dataclasses import dataclass
from zlib import crc32

BUCKETS = 64


def bucket_of(name: str) -> int:
    """Return the bucket, 0 to 63, of an item (by its SKU) or a location (by its id)."""
    return crc32(name.encode()) % BUCKETS


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one generation. Every one of them names a hash.

    The hashes of levels, items and locations map an id to a value as made by `values.pack`.
    """

    generation: str

    def levels(self, sku: str) -> str:
        """Return the key of an item's levels, by location_id."""
        return f"{self.generation}:{{b{bucket_of(sku)}}}:levels:{sku}"

    def levels_pattern(self) -> str:
        """Return what SCAN takes for the keys of all levels."""
        return f"{self.generation}:{{b*}}:levels:*"

    def sku_of_levels(self, key: str) -> str:
        """Return the SKU of a key of levels."""
        return key.split(":", 3)[3]

    def items(self, bucket: int) -> str:
        """Return the key of a bucket's items, by SKU."""
        return f"{self.generation}:{{b{bucket}}}:items"

    def locations(self, bucket: int) -> str:
        """Return the key of a bucket's locations, by location_id."""
        return f"{self.generation}:{{b{bucket}}}:locations"

    def offsets(self, bucket: int) -> str:
        """Return the key of the positions up to which a bucket holds each source."""
        return f"{self.generation}:{{b{bucket}}}:offsets"
