"""Items and locations in the answers of their commands."""

from __future__ import annotations

from inventory.type.v1.item_pb2 import ItemKind, ItemState
from inventory.type.v1.location_pb2 import LocationState
from tests.unit.command_svc.services.calling import Commands, refusal


async def test_an_item_comes_back_as_it_was_given(commands: Commands) -> None:
    given = {
        "name": "New",
        "description": "Quite new.",
        "kind": "ITEM_KIND_PHYSICAL",
        "unit_of_measure": "box",
        "categories": ["a", "b"],
        "tags": ["t"],
        "barcodes": ["96385074"],
        "metadata": {"k": "v"},
        "lot_tracked": True,
        "parent_sku": "MUG",
        "option_values": {"size": "L"},
        "dimensions": {"length_mm": 1, "width_mm": 2, "height_mm": 3},
        "weight_grams": 4,
    }
    item = (await commands.do("CreateItem", **given)).item
    for name in ("name", "description", "unit_of_measure", "lot_tracked", "parent_sku", "weight_grams"):
        assert getattr(item, name) == given[name]
    assert ItemKind.Name(item.kind) == "ITEM_KIND_PHYSICAL"
    assert [list(item.categories), list(item.tags), list(item.barcodes)] == [["a", "b"], ["t"], ["96385074"]]
    assert (dict(item.metadata), dict(item.option_values)) == ({"k": "v"}, {"size": "L"})
    assert (item.dimensions.length_mm, item.dimensions.width_mm, item.dimensions.height_mm) == (1, 2, 3)
    assert item.counted


async def test_only_what_the_mask_names_changes_and_only_on_the_version_that_is_known(
    commands: Commands,
) -> None:
    await commands.do("CreateItem", tags=["old"], metadata={"k": "v"}, weight_grams=4)
    item = {"name": "Newer", "tags": ["new"], "metadata": {"other": "x"}}
    change = {"sku": "NEW", "item": item, "update_mask": {"paths": ["name", "tags", "dimensions"]}}
    changed = (await commands.do("UpdateItem", **change, expected_version=1)).item
    assert (changed.name, list(changed.tags), dict(changed.metadata)) == ("Newer", ["new"], {"k": "v"})
    assert (changed.weight_grams, changed.version) == (4, 2)
    assert not changed.HasField("dimensions")
    stale = await refusal(commands.do("UpdateItem", **change, expected_version=1))
    assert (stale.code, stale.reason) == (10, "VERSION_MISMATCH")
    unknown = await refusal(commands.do("UpdateItem", sku="NOBODY"))
    assert (unknown.code, unknown.reason) == (5, "ITEM_NOT_FOUND")


async def test_an_item_is_archived_when_nothing_is_left_of_it(commands: Commands) -> None:
    await commands.do("CreateItem")
    await commands.do("AddStock", sku="NEW")
    await commands.do("ReserveStock", lines=[{"sku": "NEW", "location_id": "WH", "quantity": 2}])
    refused = await refusal(commands.do("ArchiveItem", sku="NEW"))
    assert (refused.code, refused.reason) == (9, "ITEM_IN_USE")
    assert refused.metadata == {
        "sku": "NEW",
        "on_hand": "5",
        "reserved": "2",
        "backordered": "0",
        "in_transit": "0",
    }
    await commands.do("CreateItem", sku="OLD")
    archived = (await commands.do("ArchiveItem", sku="OLD")).item
    assert ItemState.Name(archived.state) == "ITEM_STATE_ARCHIVED"
    for rpc in ("AddStock", "SetStockPolicy", "ArchiveItem", "UpdateItem"):
        gone = await refusal(commands.do(rpc, sku="OLD"))
        assert (gone.code, gone.reason) == (9, "ITEM_ARCHIVED")


async def test_a_bundle_is_made_of_items_that_have_stock(commands: Commands) -> None:
    for sku, reason in (("NOBODY", "INVALID_COMPONENT"), ("SONG", "INVALID_COMPONENT")):
        components = [{"sku": sku, "quantity": 1}]
        refused = await refusal(commands.do("CreateItem", kind="ITEM_KIND_BUNDLE", components=components))
        assert (refused.code, refused.reason) == (9, reason)
    refused = await refusal(commands.do("CreateItem", parent_sku="NOBODY"))
    assert (refused.code, refused.reason) == (9, "INVALID_PARENT")


async def test_a_location_is_changed_and_drained(commands: Commands) -> None:
    await commands.do("CreateLocation", address={"region_code": "GB", "locality": "Leeds"}, priority=3)
    change = {"name": "Newer", "address": {"region_code": "DE"}, "time_zone": "Europe/Berlin"}
    paths = ["name", "address", "time_zone"]
    changed = await commands.do(
        "UpdateLocation", location_id="NEW", location=change, update_mask={"paths": paths}
    )
    location = changed.location
    assert (location.name, location.address.region_code, location.address.locality) == ("Newer", "DE", "")
    assert (location.time_zone, location.priority, location.version) == ("Europe/Berlin", 3, 2)

    await commands.do("AddStock", location_id="NEW")
    closed = (await commands.do("DeactivateLocation", location_id="NEW")).location
    assert LocationState.Name(closed.state) == "LOCATION_STATE_INACTIVE"
    for rpc in ("AddStock", "SetStockPolicy", "DeactivateLocation"):
        refused = await refusal(commands.do(rpc, location_id="NEW"))
        assert (refused.code, refused.reason) == (9, "LOCATION_INACTIVE")
    assert (await commands.do("RemoveStock", location_id="NEW")).level.on_hand == 0
