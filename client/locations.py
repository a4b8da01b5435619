"""The places that hold stock, changed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from inventory.command.v1 import location_command_service_pb2 as pb
from inventory.command.v1.location_command_service_pb2_grpc import LocationCommandServiceStub

from .connection import Connection

if TYPE_CHECKING:
    from inventory.command.v1.location_command_service_pb2_grpc import LocationCommandServiceAsyncStub


class LocationCommands(Connection):
    """The commands of LocationCommandService."""

    @cached_property
    def _location_commands(self) -> LocationCommandServiceAsyncStub:
        return LocationCommandServiceStub(self._channel)

    async def create_location(
        self, request: pb.CreateLocationRequest, *, timeout: float | None = None
    ) -> pb.CreateLocationResponse:
        """Create a location, active at once. Raises LocationAlreadyExistsError when the id is taken."""
        return await self._command(self._location_commands.CreateLocation, request, timeout)

    async def update_location(
        self, request: pb.UpdateLocationRequest, *, timeout: float | None = None
    ) -> pb.UpdateLocationResponse:
        """Change the fields that `update_mask` names.

        Raises LocationNotFoundError and VersionMismatchError.
        """
        return await self._command(self._location_commands.UpdateLocation, request, timeout)

    async def deactivate_location(
        self, request: pb.DeactivateLocationRequest, *, timeout: float | None = None
    ) -> pb.DeactivateLocationResponse:
        """End a location's working life; what is there can be drained, what is under way to it arrives.

        Raises LocationNotFoundError, LocationInactiveError when it is inactive already, and
        VersionMismatchError.
        """
        return await self._command(self._location_commands.DeactivateLocation, request, timeout)
