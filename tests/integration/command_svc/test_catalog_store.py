"""Items and locations on the real database, and what their ends mean for stock."""

from __future__ import annotations

import pytest

from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.catalog import (
    ArchiveItem,
    CreateItem,
    CreateLocation,
    DeactivateLocation,
    UpdateItem,
    UpdateLocation,
)
from command_svc.domain.item import Item
from command_svc.domain.levels import LevelKey
from command_svc.domain.location import Location
from command_svc.domain.orders import PlaceOrder
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, MoveStock, RemoveStock
from command_svc.domain.transfers import DispatchedLine, DispatchTransfer, ReceiveTransfer, TransferOutcome
from tests.integration.command_svc.story import Story

pytestmark = pytest.mark.stack

TERMS = Terms(Strategy("PRIORITY"))


async def test_an_item_is_kept_in_every_field(story: Story) -> None:
    shirt, tea = await story.item("shirt"), await story.item("tea")
    blue = Item(
        story.name("shirt-blue"),
        'Shirt, "blue" \\ 青',
        description="Cotton,\nlong sleeves",
        unit_of_measure="piece",
        categories=("clothes/shirts", 'a "b", {c}'),
        tags=("new", ""),
        barcodes=("4006381333931",),
        metadata={"colour": 'bl"ue', "": "empty"},
        lot_tracked=True,
        parent_sku=shirt,
        option_values={"colour": "blue", "size": "M"},
        dimensions=(300, 200, 40),
        weight_grams=250,
    )
    licence = Item(story.name("licence"), "Licence", kind="DIGITAL", counted=True)
    book = Item(story.name("book"), "Book", kind="DIGITAL", counted=False)
    gift = Item(story.name("gift"), "Gift", kind="BUNDLE", counted=False, components=((tea, 2), (shirt, 1)))
    await story.all(*map(CreateItem, (blue, licence, book, gift)))
    found = await story.check()
    assert found.facts[gift.sku].components == ((tea, 2), (shirt, 1))
    changes = {
        "name": "Shirt",
        "tags": (),
        "metadata": {},
        "option_values": {"size": "L"},
        "dimensions": None,
        "weight_grams": 0,
    }
    await story.all(UpdateItem(blue.sku, changes, 1), UpdateItem(blue.sku, {"tags": ("sale",)}, 2))
    found = await story.check()
    assert (found.items[blue.sku].version, found.items[blue.sku].tags) == (3, ("sale",))
    assert found.items[blue.sku].lot_tracked
    assert await story.each(UpdateItem(blue.sku, {"name": "Late"}, 2)) == ["VERSION_MISMATCH"]


async def test_a_location_is_kept_in_every_field(story: Story) -> None:
    store = Location(
        story.name("store"),
        "Store",
        "DARK_STORE",
        region_code="DE",
        postal_code="10115",
        locality="Berlin",
        address_lines=("Hof 2", 'Tor "B"'),
        coordinates=(52.53, -0.0001),
        time_zone="Europe/Berlin",
        priority=3,
        ships_online_orders=True,
    )
    await story.all(CreateLocation(store))
    await story.check()
    await story.all(UpdateLocation(store.location_id, {"coordinates": None, "address_lines": ()}, 1))
    found = await story.check()
    assert found.locations[store.location_id].coordinates is None
    assert found.locations[store.location_id].version == 2


async def test_an_item_is_born_stocked_and_bundled_in_one_transaction(story: Story) -> None:
    north = await story.place("north")
    mug, gift, red = story.name("mug"), story.name("gift"), story.name("mug-red")
    await story.all(
        CreateItem(Item(mug, "Mug")),
        CreateItem(Item(gift, "Gift", kind="BUNDLE", counted=False, components=((mug, 2),))),
        CreateItem(Item(red, "Red mug", parent_sku=mug)),
        AddStock(LevelKey(mug, north), 5, "RECEIPT"),
        AddStock(LevelKey(red, north), 1, "RECEIPT"),
    )
    await story.all(PlaceOrder((WantedLine(gift, north, 2),), TERMS))
    assert (await story.check()).levels[LevelKey(mug, north)].reserved == 4
    assert await story.each(
        AddStock(LevelKey(gift, north), 1, "RECEIPT"),
        CreateItem(Item(story.name("x"), "X", parent_sku=red)),
        CreateItem(Item(story.name("x"), "X", parent_sku=story.name("nothing"))),
        CreateItem(Item(story.name("x"), "X", kind="BUNDLE", counted=False, components=((gift, 1),))),
    ) == ["ITEM_NOT_STOCKED", "INVALID_PARENT", "INVALID_PARENT", "INVALID_COMPONENT"]


async def test_an_item_is_archived_once_nothing_of_it_is_left_and_takes_nothing_new(story: Story) -> None:
    mug, north, south = await story.item("mug"), await story.place("north"), await story.place("south")
    gift = await story.item("gift", kind="BUNDLE", counted=False, components=((mug, 1),))
    level = LevelKey(mug, north)
    await story.all(AddStock(level, 1, "RECEIPT"))
    assert await story.each(ArchiveItem(mug)) == ["ITEM_IN_USE"]
    await story.all(RemoveStock(level, 1, "SALE"), ArchiveItem(mug))
    found = await story.check()
    assert found.items[mug].state == "ARCHIVED"
    # At its level, at a new one, as a component, from anywhere, on its way.
    assert (
        await story.each(
            AddStock(level, 1, "RECEIPT"),
            AddStock(LevelKey(mug, south), 1, "RECEIPT"),
            PlaceOrder((WantedLine(gift, north, 1),), TERMS),
            PlaceOrder((WantedLine(mug, None, 1),), TERMS),
            DispatchTransfer("", "ACME", south, (DispatchedLine(mug, 1),)),
            UpdateItem(mug, {"name": "Cup"}),
        )
        == ["ITEM_ARCHIVED"] * 6
    )


async def test_a_location_that_is_given_up_can_be_drained(story: Story) -> None:
    mug, north = await story.item("mug"), await story.place("north", ships_online_orders=True)
    south = await story.place("south")
    here, there = LevelKey(mug, north), LevelKey(mug, south)
    await story.all(AddStock(here, 5, "RECEIPT"), AddStock(there, 5, "RECEIPT"))
    sent = await story.one(DispatchTransfer(south, "", north, (DispatchedLine(mug, 2),)), TransferOutcome)
    await story.all(DeactivateLocation(north))
    assert await story.each(
        AddStock(here, 1, "RECEIPT"),
        MoveStock(there, here, 1, "REBALANCE"),
        PlaceOrder((WantedLine(mug, north, 1),), TERMS),
        PlaceOrder((WantedLine(mug, None, 1),), TERMS),
        DispatchTransfer(south, "", north, (DispatchedLine(mug, 1),)),
        DeactivateLocation(north),
    ) == [
        "LOCATION_INACTIVE",
        "LOCATION_INACTIVE",
        "LOCATION_INACTIVE",
        "INSUFFICIENT_STOCK",
        "LOCATION_INACTIVE",
        "LOCATION_INACTIVE",
    ]
    await story.all(
        ReceiveTransfer(sent.transfer.transfer_id),
        RemoveStock(here, 1, "SALE"),
        MoveStock(here, there, 6, "REBALANCE"),
    )
    found = await story.check()
    assert found.locations[north].state == "INACTIVE"
    assert (found.levels[here].on_hand, found.levels[there].on_hand) == (0, 9)
