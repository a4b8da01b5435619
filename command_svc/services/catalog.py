"""ItemCommandService and LocationCommandService."""

from __future__ import annotations

import zoneinfo
from functools import cache
from typing import Any, cast

from google.protobuf.message import Message
from grpc.aio import ServicerContext

from command_svc.batcher import Batcher
from command_svc.domain.batch import Outcome
from command_svc.domain.catalog import CreateItem, CreateLocation, Item, Location, is_gtin
from command_svc.messages import item_message, location_message
from command_svc.services.lane import carry_out_one
from command_svc.services.requests import make_request, new_request_id
from inventory.command.v1 import item_command_service_pb2 as item_pb
from inventory.command.v1 import location_command_service_pb2 as location_pb
from inventory.command.v1.item_command_service_pb2_grpc import ItemCommandServiceServicer
from inventory.command.v1.location_command_service_pb2_grpc import LocationCommandServiceServicer
from inventory.type.v1.item_pb2 import ITEM_KIND_PHYSICAL, ItemKind
from inventory.type.v1.location_pb2 import LocationKind
from serving.errors import invalid_field
from serving.identity import actor
from serving.validation import check

Context = ServicerContext[Any, Any]


class ItemCommands(ItemCommandServiceServicer):
    """Serves the item commands from one lane."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    async def CreateItem(
        self, request: item_pb.CreateItemRequest, context: Context
    ) -> item_pb.CreateItemResponse:
        """Create an item."""
        check(request)
        domain_request = make_request(
            request,
            request.request_id or new_request_id(),
            actor(context),
            CreateItem(_item(request)),
            _item_created,
        )
        answer = await carry_out_one(self._batcher, domain_request, validate_only=request.validate_only)
        return item_pb.CreateItemResponse.FromString(answer)


class LocationCommands(LocationCommandServiceServicer):
    """Serves the location commands from one lane."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    async def CreateLocation(
        self, request: location_pb.CreateLocationRequest, context: Context
    ) -> location_pb.CreateLocationResponse:
        """Create a location."""
        check(request)
        domain_request = make_request(
            request,
            request.request_id or new_request_id(),
            actor(context),
            CreateLocation(_location(request)),
            _location_created,
        )
        answer = await carry_out_one(self._batcher, domain_request, validate_only=request.validate_only)
        return location_pb.CreateLocationResponse.FromString(answer)


def _item(message: item_pb.CreateItemRequest) -> Item:
    for index, barcode in enumerate(message.barcodes):
        if not is_gtin(barcode):
            raise invalid_field(f"barcodes[{index}]", "has a wrong check digit")
    return Item(
        sku=message.sku,
        name=message.name,
        description=message.description,
        kind=ItemKind.Name(message.kind or ITEM_KIND_PHYSICAL).removeprefix("ITEM_KIND_"),
        unit_of_measure=message.unit_of_measure or "each",
        categories=tuple(message.categories),
        tags=tuple(message.tags),
        barcodes=tuple(message.barcodes),
        metadata=dict(message.metadata),
    )


def _item_created(outcome: Outcome, request_id: str, token: str) -> Message:
    item = item_message(cast("Item", outcome))
    return item_pb.CreateItemResponse(request_id=request_id, consistency_token=token, item=item)


def _location(message: location_pb.CreateLocationRequest) -> Location:
    if message.time_zone and message.time_zone not in _time_zones():
        raise invalid_field("time_zone", "must be an IANA time zone, for example Europe/Berlin")
    coordinates = message.coordinates
    return Location(
        location_id=message.location_id,
        name=message.name,
        kind=LocationKind.Name(message.kind).removeprefix("LOCATION_KIND_"),
        region_code=message.address.region_code,
        postal_code=message.address.postal_code,
        locality=message.address.locality,
        address_lines=tuple(message.address.lines),
        coordinates=(coordinates.latitude, coordinates.longitude)
        if message.HasField("coordinates")
        else None,
        time_zone=message.time_zone or "UTC",
        priority=message.priority,
        ships_online_orders=message.ships_online_orders,
    )


def _location_created(outcome: Outcome, request_id: str, token: str) -> Message:
    location = location_message(cast("Location", outcome))
    return location_pb.CreateLocationResponse(
        request_id=request_id, consistency_token=token, location=location
    )


@cache
def _time_zones() -> set[str]:
    # The machine's own zone is listed too, where it has one: no name that others know.
    return zoneinfo.available_timezones() - {"localtime"}
