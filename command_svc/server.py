"""The composition root of the command service: everything it is made of, put together in one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from command_svc import journal, sweeper
from command_svc.batcher import Batcher, Limits
from command_svc.config import CommandSettings
from command_svc.services.catalog import ItemCommands, LocationCommands
from command_svc.services.reservations import ReservationCommands
from command_svc.services.stock import StockCommands
from command_svc.store.errors import StoreError, UnavailableError
from command_svc.store.store import CommandStore
from inventory.command.v1 import (
    item_command_service_pb2,
    item_command_service_pb2_grpc,
    location_command_service_pb2,
    location_command_service_pb2_grpc,
    reservation_command_service_pb2,
    reservation_command_service_pb2_grpc,
    stock_command_service_pb2,
    stock_command_service_pb2_grpc,
)
from serving.health import Dependency
from serving.server import GrpcServer, Service
from serving.validation import warm

PARTITION_INTERVAL_SECONDS = 3600.0
FAILED_PARTITION_INTERVAL_SECONDS = 60.0

log = structlog.get_logger()


@asynccontextmanager
async def assemble(settings: CommandSettings) -> AsyncIterator[GrpcServer]:
    """Yield the server, not yet listening; close what it stands on afterwards."""
    _warm()
    store = CommandStore(
        settings.database_url.get_secret_value(),
        journal.encode,
        connections=settings.database_connections,
        statement_timeout=settings.statement_timeout_seconds,
        connect_timeout=settings.connect_timeout_seconds,
    )
    limits = Limits(
        batch=settings.max_batch_commands,
        queue=settings.max_queued_commands,
        linger=settings.linger_seconds,
    )
    async with store, Batcher(store, limits) as batcher:
        jobs = [
            asyncio.create_task(_keep_partitions(store), name="partitions"),
            asyncio.create_task(sweeper.run(store, settings.sweep_interval_seconds), name="sweeper"),
        ]
        try:
            yield GrpcServer(
                settings,
                _services(batcher),
                dependencies=[Dependency("database", store.ping)],
                unavailable={UnavailableError: "database"},
            )
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.wait(jobs)


def _services(batcher: Batcher) -> list[Service]:
    items, locations, stock = ItemCommands(batcher), LocationCommands(batcher), StockCommands(batcher)
    reservations = ReservationCommands(batcher)
    return [
        Service(
            "inventory.command.v1.ItemCommandService",
            lambda server: item_command_service_pb2_grpc.add_ItemCommandServiceServicer_to_server(
                items, server
            ),
        ),
        Service(
            "inventory.command.v1.LocationCommandService",
            lambda server: location_command_service_pb2_grpc.add_LocationCommandServiceServicer_to_server(
                locations, server
            ),
        ),
        Service(
            "inventory.command.v1.ReservationCommandService",
            lambda server: (
                reservation_command_service_pb2_grpc.add_ReservationCommandServiceServicer_to_server(
                    reservations, server
                )
            ),
        ),
        Service(
            "inventory.command.v1.StockCommandService",
            lambda server: stock_command_service_pb2_grpc.add_StockCommandServiceServicer_to_server(
                stock, server
            ),
        ),
    ]


def _warm() -> None:
    """Compile the rules of every request, so that no first caller waits for it."""
    warm(
        reservation_command_service_pb2.BatchReserveStockRequest,
        reservation_command_service_pb2.CancelReservationRequest,
        reservation_command_service_pb2.ConfirmReservationRequest,
        reservation_command_service_pb2.ExtendReservationRequest,
        reservation_command_service_pb2.ReserveStockRequest,
        stock_command_service_pb2.SetStockPolicyRequest,
        stock_command_service_pb2.AddStockRequest,
        stock_command_service_pb2.RemoveStockRequest,
        stock_command_service_pb2.AdjustStockRequest,
        stock_command_service_pb2.MoveStockRequest,
        stock_command_service_pb2.BatchStockRequest,
        item_command_service_pb2.CreateItemRequest,
        location_command_service_pb2.CreateLocationRequest,
    )


async def _keep_partitions(store: CommandStore) -> None:
    """Make partitions ahead of time, again every hour; a failure is logged and tried again soon."""
    while True:
        try:
            made = await store.create_partitions()
        except StoreError as error:
            log.warning("partitions not made", cause=repr(error))
            await asyncio.sleep(FAILED_PARTITION_INTERVAL_SECONDS)
        else:
            log.info("partitions made", count=made)
            await asyncio.sleep(PARTITION_INTERVAL_SECONDS)
