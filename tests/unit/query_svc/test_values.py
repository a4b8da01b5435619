"""The stored form of a level, which leaves out what its key and field say."""

import pytest

from inventory.type.v1.stock_pb2 import StockLevel
from query_svc.read_model.values import pack_level, unpack_level, version_of


@pytest.mark.parametrize("sku", ["", "A", "S" * 127, "S" * 128, "\u00fc" * 64, "\u00fc" * 127])
@pytest.mark.parametrize("location_id", ["", "W" * 127, "W" * 128])
def test_a_level_is_stored_without_its_names(sku: str, location_id: str) -> None:
    nameless = StockLevel(on_hand=3, version=12, lot_tracked=True)
    level = StockLevel(sku=sku, location_id=location_id)
    level.MergeFrom(nameless)
    value = pack_level(level, has_entries=True)
    assert value == b"12*" + nameless.SerializeToString(deterministic=True)
    assert unpack_level(sku, location_id, value) == level
    assert version_of(value) == 12
