"""The names under which the read model keeps things in Redis.

Every key carries a generation, so that a rebuild can fill a new one beside the live one, and the tag of
a bucket, so that everything one function call touches lies in one slot of a cluster.
"""

from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

BUCKETS = 64
GENERATION = "g3"
"""The generation that is written and read unless told otherwise. One that was filled before there were
indexes cannot be gone on with: whenever what is kept beside a row changes, this changes too."""


# The same name is asked for many times in a row: for its row, its key, its feed.
@lru_cache(maxsize=4096)
def bucket_of(name: str) -> int:
    """Return the bucket, 0 to 63, of what an id names; levels and lots are in the bucket of their SKU."""
    return crc32(name.encode()) % BUCKETS


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one generation.

    Rows lie in hashes, which map an id to a value as made by `values.pack`; indexes are sorted sets, whose
    members all have the score 0, so that they stand in the order of their bytes.
    """

    generation: str

    def levels(self, sku: str) -> str:
        """Return the key of an item's levels, by location_id."""
        return f"{self.generation}:{{b{bucket_of(sku)}}}:levels:{sku}"

    def of_skus(self, kind: str) -> str:
        """Return what SCAN takes for the keys of levels or lots, which have one for each SKU."""
        return f"{self.generation}:{{b*}}:{kind}:*"

    def pattern(self) -> str:
        """Return what SCAN takes for all keys of the generation."""
        return f"{self.generation}:{{*"

    def sku_of_levels(self, key: str) -> str:
        """Return the SKU of a key of levels."""
        return key.split(":", 3)[3]

    def lots(self, sku: str) -> str:
        """Return the key of an item's lots, by location_id and lot_id with a NUL between them."""
        return f"{self.generation}:{{b{bucket_of(sku)}}}:lots:{sku}"

    def items(self, bucket: int) -> str:
        """Return the key of a bucket's items, by SKU."""
        return self.of_bucket(bucket, "items")

    def locations(self, bucket: int) -> str:
        """Return the key of a bucket's locations, by location_id."""
        return self.of_bucket(bucket, "locations")

    def offsets(self, bucket: int) -> str:
        """Return the key of the positions up to which a bucket holds each source."""
        return self.of_bucket(bucket, "offsets")

    def entries(self, bucket: int) -> str:
        """Return the key of a bucket's entries in indexes that a newer version of their row may end."""
        return self.of_bucket(bucket, "entries")

    @property
    def mark_positions(self) -> str:
        """The key of the positions up to which the transactions of each source are marked as applied."""
        return f"{self.generation}:{{applied}}:offsets"

    @property
    def marks(self) -> str:
        """The key of the stream of marks of what was applied."""
        return f"{self.generation}:{{applied}}:marks"

    def feed(self, bucket: int) -> str:
        """Return the key of a bucket's feed, the stream of the changes of its levels."""
        return self.of_bucket(bucket, "feed")

    def ahead(self, bucket: int) -> str:
        """Return the key of the versions up to which a bucket's feed is ahead of the rows."""
        return self.of_bucket(bucket, "ahead")

    def channel(self) -> str:
        """Return the channel on which the number of a bucket is published when its feed has grown."""
        return f"{self.generation}:feed"

    def of_bucket(self, bucket: int, name: str) -> str:
        """Return the key of a bucket's rows of a kind, or of its part of an index."""
        return f"{self.generation}:{{b{bucket}}}:{name}"
