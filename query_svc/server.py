"""The composition root of the query service: everything it is made of, put together in one place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from time import monotonic

from audit import books
from inventory.admin.v1 import audit_service_pb2_grpc
from inventory.query.v1 import (
    catalog_query_service_pb2,
    catalog_query_service_pb2_grpc,
    order_query_service_pb2,
    order_query_service_pb2_grpc,
    stock_query_service_pb2,
    stock_query_service_pb2_grpc,
)
from query_svc import read_model
from query_svc.audit_log import AuditLog
from query_svc.breaker import Breaker
from query_svc.config import QuerySettings
from query_svc.database import Database, DatabaseUnavailableError
from query_svc.ledger import Ledger
from query_svc.mark_follower import MarkFollower
from query_svc.progress import Progress
from query_svc.read_model import ReadModelUnavailableError
from query_svc.reads import Reads
from query_svc.replica import Replica
from query_svc.services.audit import AUDITED, NAME, Audit
from query_svc.services.catalog import CatalogQueries
from query_svc.services.orders import OrderQueries
from query_svc.services.routing import routed
from query_svc.services.stock import StockQueries
from query_svc.watch.density import entries_of
from query_svc.watch.watches import Watches
from serving import tasks
from serving.health import Dependency
from serving.server import GrpcServer, Service


@asynccontextmanager
async def assemble(settings: QuerySettings) -> AsyncIterator[GrpcServer]:
    """Yield the server, not yet listening; close what it stands on afterwards."""
    view = read_model.connect(
        settings.redis_url.get_secret_value(),
        generation=settings.generation,
        timeout=settings.redis_timeout_seconds,
        retention=read_model.Retention(timedelta(days=settings.closed_days)),
    )
    marks = read_model.connect_marks(
        settings.redis_url.get_secret_value(),
        generation=settings.generation,
        timeout=settings.redis_timeout_seconds,
    )
    database = Database(
        settings.database_url.get_secret_value(),
        connections=settings.database_connections,
        connect_timeout=settings.connect_timeout_seconds,
    )
    progress = Progress()
    follower = MarkFollower(marks, view, progress)
    history_url = settings.history_database_url
    replicated = None
    if history_url is not None:
        replicated = Database(
            history_url.get_secret_value(),
            connections=settings.database_connections,
            connect_timeout=settings.connect_timeout_seconds,
        )
    replica = Replica(replicated, Breaker(monotonic)) if replicated else None
    reads = Reads(
        view,
        database,
        follower,
        progress,
        Breaker(monotonic),
        token_wait=settings.token_wait_seconds,
        replica=replica,
    )
    # What a watch lacks is asked of the primary: a replica may lack it, too.
    ledger = Ledger(database)
    feed = read_model.connect_feed(
        settings.redis_url.get_secret_value(),
        generation=settings.generation,
        timeout=settings.redis_timeout_seconds,
    )
    watches = Watches(
        feed,
        view,
        entries_of(ledger, settings.connect_timeout_seconds),
        most_watches=settings.max_watches,
    )
    stock = routed(
        stock_query_service_pb2.DESCRIPTOR.services_by_name["StockQueryService"],
        lambda source: StockQueries(source, ledger, watches),
        reads,
        streams=StockQueries(view, ledger, watches),
        of_ledger=dict.fromkeys(
            ["GetStockHistory", "GetStockLevelAsOf"], lambda told: StockQueries(view, told, watches)
        ),
    )
    catalog = routed(
        catalog_query_service_pb2.DESCRIPTOR.services_by_name["CatalogQueryService"], CatalogQueries, reads
    )
    orders = routed(
        order_query_service_pb2.DESCRIPTOR.services_by_name["OrderQueryService"], OrderQueries, reads
    )
    async with (
        view,
        marks,
        database,
        replicated or nullcontext(),
        tasks.running(follower.run(), "marks"),
        feed,
        watches,
        books.opened(settings.audit_database_url) as audit,
    ):
        yield GrpcServer(
            settings,
            [
                Service(
                    NAME,
                    lambda server: audit_service_pb2_grpc.add_AuditServiceServicer_to_server(
                        Audit(AuditLog(database), ledger, audit.subjects), server
                    ),
                ),
                Service(
                    "inventory.query.v1.StockQueryService",
                    lambda server: stock_query_service_pb2_grpc.add_StockQueryServiceServicer_to_server(
                        stock, server
                    ),
                ),
                Service(
                    "inventory.query.v1.CatalogQueryService",
                    lambda server: catalog_query_service_pb2_grpc.add_CatalogQueryServiceServicer_to_server(
                        catalog, server
                    ),
                ),
                Service(
                    "inventory.query.v1.OrderQueryService",
                    lambda server: order_query_service_pb2_grpc.add_OrderQueryServiceServicer_to_server(
                        orders, server
                    ),
                ),
            ],
            dependencies=[
                # Either will do.
                Dependency("view or database", reads.check),
                Dependency("read model", view.ping, required=False),
                Dependency("fresh view", reads.check_age, required=False),
                # Without it, history and what is to be fully consistent answer DEPENDENCY_UNAVAILABLE.
                Dependency("database", database.ping, required=False),
                *audit.health,
                *([Dependency("replica", replica.ping, required=False)] if replica else []),
            ],
            unavailable={
                DatabaseUnavailableError: "database",
                # Of a watch; other queries are answered by the database then.
                ReadModelUnavailableError: "read model",
            },
            recorder=audit.recorder,
            audited=AUDITED,
            naming=audit.naming,
        )
