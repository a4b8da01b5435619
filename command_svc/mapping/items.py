"""The messages of ItemCommandService."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import Message

from command_svc.domain.catalog import ArchiveItem, CreateItem, UpdateItem, is_gtin
from command_svc.domain.item import DIGITAL, PHYSICAL, Item
from command_svc.mapping.fields import given
from command_svc.mapping.requests import Mapping, encoder
from command_svc.messages import item_message
from inventory.command.v1 import item_command_service_pb2 as pb
from inventory.type.v1.item_pb2 import ITEM_KIND_PHYSICAL, Dimensions, ItemKind
from serving.errors import invalid_field

DEFAULT_UNIT_OF_MEASURE = "each"

_UPDATED: dict[str, Callable[[pb.ItemUpdate], Any]] = {
    "name": lambda item: item.name,
    "description": lambda item: item.description,
    "categories": lambda item: tuple(item.categories),
    "tags": lambda item: tuple(item.tags),
    "barcodes": lambda item: _barcodes(item.barcodes, "item.barcodes"),
    "metadata": lambda item: dict(item.metadata),
    "option_values": lambda item: dict(item.option_values),
    "dimensions": lambda item: _dimensions(given(item, "dimensions")),
    "weight_grams": lambda item: item.weight_grams,
}
"""The value of each path that an update mask may name."""


def _create(message: pb.CreateItemRequest) -> CreateItem:
    kind = ItemKind.Name(message.kind or ITEM_KIND_PHYSICAL).removeprefix("ITEM_KIND_")
    return CreateItem(
        Item(
            sku=message.sku,
            name=message.name,
            description=message.description,
            kind=kind,
            unit_of_measure=message.unit_of_measure or DEFAULT_UNIT_OF_MEASURE,
            categories=tuple(message.categories),
            tags=tuple(message.tags),
            barcodes=_barcodes(message.barcodes, "barcodes"),
            metadata=dict(message.metadata),
            counted=kind == PHYSICAL or (kind == DIGITAL and message.counted),
            lot_tracked=message.lot_tracked,
            parent_sku=message.parent_sku,
            option_values=dict(message.option_values),
            dimensions=_dimensions(given(message, "dimensions")),
            weight_grams=message.weight_grams,
            components=tuple((component.sku, component.quantity) for component in message.components),
        )
    )


def _update(message: pb.UpdateItemRequest) -> UpdateItem:
    changes = {path: _UPDATED[path](message.item) for path in message.update_mask.paths}
    return UpdateItem(message.sku, changes, given(message, "expected_version"))


def _archive(message: pb.ArchiveItemRequest) -> ArchiveItem:
    return ArchiveItem(message.sku, given(message, "expected_version"))


def _barcodes(barcodes: Iterable[str], field: str) -> tuple[str, ...]:
    given_ones = tuple(barcodes)
    for index, barcode in enumerate(given_ones):
        if not is_gtin(barcode):
            raise invalid_field(f"{field}[{index}]", "has a wrong check digit")
    return given_ones


def _dimensions(message: Dimensions | None) -> tuple[int, int, int] | None:
    return None if message is None else (message.length_mm, message.width_mm, message.height_mm)


MAPPINGS: dict[type[Message], Mapping] = {
    pb.CreateItemRequest: Mapping(_create, encoder(pb.CreateItemResponse, item=item_message)),
    pb.UpdateItemRequest: Mapping(_update, encoder(pb.UpdateItemResponse, item=item_message)),
    pb.ArchiveItemRequest: Mapping(_archive, encoder(pb.ArchiveItemResponse, item=item_message)),
}
