"""LocationCommandService."""

from __future__ import annotations

from command_svc.batcher import Batcher
from command_svc.services.lane import Context, answer
from inventory.command.v1 import location_command_service_pb2 as pb
from inventory.command.v1.location_command_service_pb2_grpc import LocationCommandServiceServicer


class LocationCommands(LocationCommandServiceServicer):
    """Serves the location commands from one lane."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    async def CreateLocation(
        self, request: pb.CreateLocationRequest, _context: Context
    ) -> pb.CreateLocationResponse:
        """Create a location."""
        return pb.CreateLocationResponse.FromString(await answer(self._batcher, request))

    async def UpdateLocation(
        self, request: pb.UpdateLocationRequest, _context: Context
    ) -> pb.UpdateLocationResponse:
        """Change a location."""
        return pb.UpdateLocationResponse.FromString(await answer(self._batcher, request))

    async def DeactivateLocation(
        self, request: pb.DeactivateLocationRequest, _context: Context
    ) -> pb.DeactivateLocationResponse:
        """Let a location take no new stock or promises any more."""
        return pb.DeactivateLocationResponse.FromString(await answer(self._batcher, request))
