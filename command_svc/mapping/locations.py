"""The messages of LocationCommandService."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from functools import cache
from typing import Any

from google.protobuf.message import Message
from google.type.latlng_pb2 import LatLng

from command_svc.domain.catalog import CreateLocation, DeactivateLocation, UpdateLocation
from command_svc.domain.location import Location
from command_svc.mapping.fields import given
from command_svc.mapping.requests import Mapping, encoder
from command_svc.messages import location_message
from inventory.command.v1 import location_command_service_pb2 as pb
from inventory.type.v1.location_pb2 import Address, LocationKind
from serving.errors import invalid_field

DEFAULT_TIME_ZONE = "UTC"

_UPDATED: dict[str, Callable[[pb.LocationUpdate], dict[str, Any]]] = {
    "name": lambda location: {"name": location.name},
    "kind": lambda location: {"kind": _kind(location.kind)},
    "address": lambda location: _address(location.address),
    "coordinates": lambda location: {"coordinates": _coordinates(given(location, "coordinates"))},
    "time_zone": lambda location: {"time_zone": _time_zone(location.time_zone, "location.time_zone")},
    "priority": lambda location: {"priority": location.priority},
    "ships_online_orders": lambda location: {"ships_online_orders": location.ships_online_orders},
}
"""The fields of Location, with their values, for each path that an update mask may name."""


def _create(message: pb.CreateLocationRequest) -> CreateLocation:
    return CreateLocation(
        Location(
            location_id=message.location_id,
            name=message.name,
            kind=_kind(message.kind),
            **_address(message.address),
            coordinates=_coordinates(given(message, "coordinates")),
            time_zone=_time_zone(message.time_zone, "time_zone"),
            priority=message.priority,
            ships_online_orders=message.ships_online_orders,
        )
    )


def _update(message: pb.UpdateLocationRequest) -> UpdateLocation:
    changes: dict[str, Any] = {}
    for path in message.update_mask.paths:
        changes.update(_UPDATED[path](message.location))
    return UpdateLocation(message.location_id, changes, given(message, "expected_version"))


def _deactivate(message: pb.DeactivateLocationRequest) -> DeactivateLocation:
    return DeactivateLocation(message.location_id, given(message, "expected_version"))


def _kind(value: LocationKind.ValueType) -> str:
    return LocationKind.Name(value).removeprefix("LOCATION_KIND_")


def _address(address: Address) -> dict[str, Any]:
    return {
        "region_code": address.region_code,
        "postal_code": address.postal_code,
        "locality": address.locality,
        "address_lines": tuple(address.lines),
    }


def _coordinates(message: LatLng | None) -> tuple[float, float] | None:
    return None if message is None else (message.latitude, message.longitude)


def _time_zone(name: str, field: str) -> str:
    if name and name not in _time_zones():
        raise invalid_field(field, "must be an IANA time zone, for example Europe/Berlin")
    return name or DEFAULT_TIME_ZONE


@cache
def _time_zones() -> set[str]:
    # The machine's own zone is listed too, where it has one: no name that others know.
    return zoneinfo.available_timezones() - {"localtime"}


MAPPINGS: dict[type[Message], Mapping] = {
    pb.CreateLocationRequest: Mapping(_create, encoder(pb.CreateLocationResponse, location=location_message)),
    pb.UpdateLocationRequest: Mapping(_update, encoder(pb.UpdateLocationResponse, location=location_message)),
    pb.DeactivateLocationRequest: Mapping(
        _deactivate, encoder(pb.DeactivateLocationResponse, location=location_message)
    ),
}
