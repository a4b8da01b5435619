"""What items and locations do."""

from __future__ import annotations

from command_svc.domain import catalog
from tests.unit.command_svc.model.shelves import Refused, Shelves


class Catalog(Shelves):
    """Items and locations."""

    def _check_item(self, sku: str) -> None:
        if sku not in self.items:
            raise Refused("ITEM_NOT_FOUND")
        if sku in self.archived:
            raise Refused("ITEM_ARCHIVED")

    def _check_place(self, place: str) -> None:
        if place not in self.places:
            raise Refused("LOCATION_NOT_FOUND")

    def _create_item(self, command: catalog.CreateItem, _: object) -> None:
        item = command.item
        if item.sku in self.items:
            raise Refused("ITEM_ALREADY_EXISTS")
        parent = self.items.get(item.parent_sku)
        if item.parent_sku and (parent is None or parent.parent_sku):
            raise Refused("INVALID_PARENT")
        for sku, _each in item.components:
            if sku not in self.items or not self.items[sku].counted or sku in self.archived:
                raise Refused("INVALID_COMPONENT")
        self.items[item.sku] = item

    def _update_item(self, command: catalog.UpdateItem, _: object) -> None:
        self._check_item(command.sku)
        self.edits[command.sku] += 1

    def _archive(self, command: catalog.ArchiveItem, _: object) -> None:
        self._check_item(command.sku)
        spots = [(command.sku, place) for place in self.places]
        if any(n for one, n in self.on_hand.items() if one[0] == command.sku) or any(
            self.waited_for(spot) or self.under_way(spot) for spot in spots
        ):
            raise Refused("ITEM_IN_USE")
        self.archived.add(command.sku)
        self.edits[command.sku] += 1

    def _create_place(self, command: catalog.CreateLocation, _: object) -> None:
        if command.location.location_id in self.places:
            raise Refused("LOCATION_ALREADY_EXISTS")
        self.places[command.location.location_id] = command.location

    def _update_place(self, command: catalog.UpdateLocation, _: object) -> None:
        self._check_place(command.location_id)
        self.edits[command.location_id] += 1

    def _deactivate(self, command: catalog.DeactivateLocation, _: object) -> None:
        self._check_place(command.location_id)
        if command.location_id in self.closed:
            raise Refused("LOCATION_INACTIVE")
        self.closed.add(command.location_id)
        self.edits[command.location_id] += 1
