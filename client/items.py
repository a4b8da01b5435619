"""The catalogue of items, changed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from inventory.command.v1 import item_command_service_pb2 as pb
from inventory.command.v1.item_command_service_pb2_grpc import ItemCommandServiceStub

from .connection import Connection

if TYPE_CHECKING:
    from inventory.command.v1.item_command_service_pb2_grpc import ItemCommandServiceAsyncStub


class ItemCommands(Connection):
    """The commands of ItemCommandService."""

    @cached_property
    def _item_commands(self) -> ItemCommandServiceAsyncStub:
        return ItemCommandServiceStub(self._channel)

    async def create_item(
        self, request: pb.CreateItemRequest, *, timeout: float | None = None
    ) -> pb.CreateItemResponse:
        """Create an item, active at once.

        Raises ItemAlreadyExistsError when the SKU is taken, InvalidParentError and InvalidComponentError.
        """
        return await self._command(self._item_commands.CreateItem, request, timeout)

    async def batch_create_items(
        self, request: pb.BatchCreateItemsRequest, *, timeout: float | None = None
    ) -> pb.BatchCreateItemsResponse:
        """Create up to 1000 items in one transaction; refusals as in `batch_stock`."""
        return await self._command(self._item_commands.BatchCreateItems, request, timeout)

    async def update_item(
        self, request: pb.UpdateItemRequest, *, timeout: float | None = None
    ) -> pb.UpdateItemResponse:
        """Change the fields that `update_mask` names. Raises ItemNotFoundError and VersionMismatchError."""
        return await self._command(self._item_commands.UpdateItem, request, timeout)

    async def archive_item(
        self, request: pb.ArchiveItemRequest, *, timeout: float | None = None
    ) -> pb.ArchiveItemResponse:
        """End an item's life: it takes no new stock and no new promises.

        Raises ItemInUseError while stock or promises of it remain anywhere, ItemNotFoundError,
        ItemArchivedError when it is archived already, and VersionMismatchError.
        """
        return await self._command(self._item_commands.ArchiveItem, request, timeout)
