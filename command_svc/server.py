"""The composition root of the command service: everything it is made of, put together in one place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import structlog

from audit import books
from command_svc import journal, sweeper, upkeep
from command_svc.batcher import Batcher, Limits
from command_svc.broker import CommandTopic
from command_svc.config import CommandSettings
from command_svc.intake import Intake, workload_of
from command_svc.seal_notes import SealNotes
from command_svc.services.items import ItemCommands
from command_svc.services.locations import LocationCommands
from command_svc.services.orders import OrderCommands
from command_svc.services.reservations import ReservationCommands
from command_svc.services.stock import StockCommands
from command_svc.services.transfers import TransferCommands
from command_svc.store.errors import UnavailableError
from command_svc.store.store import CommandStore
from command_svc.store.upkeep import UpkeepStore
from inventory.command.v1.item_command_service_pb2_grpc import add_ItemCommandServiceServicer_to_server
from inventory.command.v1.location_command_service_pb2_grpc import (
    add_LocationCommandServiceServicer_to_server,
)
from inventory.command.v1.order_command_service_pb2_grpc import add_OrderCommandServiceServicer_to_server
from inventory.command.v1.reservation_command_service_pb2_grpc import (
    add_ReservationCommandServiceServicer_to_server,
)
from inventory.command.v1.stock_command_service_pb2_grpc import add_StockCommandServiceServicer_to_server
from inventory.command.v1.transfer_command_service_pb2_grpc import (
    add_TransferCommandServiceServicer_to_server,
)
from serving import tasks
from serving.audit import Recorder
from serving.health import Dependency
from serving.server import GrpcServer, Service

log = structlog.get_logger()


@asynccontextmanager
async def assemble(settings: CommandSettings) -> AsyncIterator[GrpcServer]:
    """Yield the server, not yet listening; close what it stands on afterwards."""
    store = CommandStore(
        settings.database_url.get_secret_value(),
        journal.encode,
        connections=settings.database_connections,
        statement_timeout=settings.statement_timeout_seconds,
        connect_timeout=settings.connect_timeout_seconds,
        lock_timeout=settings.lock_timeout_seconds,
    )
    limits = Limits(
        batch=settings.max_batch_commands,
        queue=settings.max_queued_commands,
        deadline=settings.max_deadline_seconds,
        gather=settings.gather_seconds,
    )
    upkeep_store = UpkeepStore(
        settings.database_url.get_secret_value(), connect_timeout=settings.connect_timeout_seconds
    )
    notes = SealNotes(settings.audit_seals_folder)
    keeper = upkeep.Upkeep(
        upkeep_store,
        summary_every=timedelta(seconds=settings.summary_interval_seconds),
        ahead=timedelta(days=settings.partition_alarm_days),
        notes=notes,
    )
    sweeping = sweeper.Sweeper(store, settings.sweep_interval_seconds)
    async with (
        store,
        upkeep_store,
        books.opened(settings.audit_database_url) as audit,
        Batcher(store, limits) as batcher,
        tasks.running(keeper.run(), "upkeep"),
        tasks.running(sweeping.run(), "sweeper"),
        _intake(settings, batcher, audit.recorder) as intake,
    ):
        yield GrpcServer(
            settings,
            services(batcher),
            dependencies=[
                Dependency("database", store.ping),
                Dependency(upkeep.HEALTH_NAME, keeper.check, required=False),
                Dependency(sweeper.HEALTH_NAME, sweeping.check, required=False),
                *audit.health,
                *intake,
            ],
            unavailable={UnavailableError: "database"},
            recorder=audit.recorder,
            collectors=[notes],
            naming=audit.naming,
        )


@asynccontextmanager
async def _intake(
    settings: CommandSettings, batcher: Batcher, recorder: Recorder
) -> AsyncIterator[list[Dependency]]:
    """Take stock commands from the brokers, if there are any; yield what health is to tell of it."""
    if not settings.intake_bootstrap_servers:
        yield []
        return
    topic = CommandTopic(
        settings.intake_bootstrap_servers,
        settings.intake_group_id,
        settings.intake_topic,
        settings.intake_failures_topic,
    )
    intake = Intake(
        topic,
        batcher,
        workload=workload_of(settings.intake_workload, settings.intake_actor),
        most=settings.intake_batch_records,
        recorder=recorder,
    )
    running = tasks.start(intake.run(), "intake")
    try:
        yield [Dependency("stock-commands", intake.check, required=False)]
    finally:
        intake.stop()
        await running


def services(batcher: Batcher) -> list[Service]:
    """Return every service of the command side, on one lane."""

    def service(name: str, add: Callable[[Any, grpc.aio.Server], None], servicer: object) -> Service:
        return Service(f"inventory.command.v1.{name}CommandService", partial(add, servicer))

    return [
        service("Item", add_ItemCommandServiceServicer_to_server, ItemCommands(batcher)),
        service("Location", add_LocationCommandServiceServicer_to_server, LocationCommands(batcher)),
        service("Order", add_OrderCommandServiceServicer_to_server, OrderCommands(batcher)),
        service("Reservation", add_ReservationCommandServiceServicer_to_server, ReservationCommands(batcher)),
        service("Stock", add_StockCommandServiceServicer_to_server, StockCommands(batcher)),
        service("Transfer", add_TransferCommandServiceServicer_to_server, TransferCommands(batcher)),
    ]
