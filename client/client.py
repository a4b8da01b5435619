"""One address, every RPC, typed."""

from __future__ import annotations

from .audit import AuditAdmin
from .catalog import CatalogQueries
from .items import ItemCommands
from .levels import StockQueries
from .locations import LocationCommands
from .orders import OrderCommands
from .pipeline import PipelineAdmin
from .promises import OrderQueries
from .reservations import ReservationCommands
from .stock import StockCommands
from .transfers import TransferCommands


class InventoryClient(
    ItemCommands,
    LocationCommands,
    StockCommands,
    ReservationCommands,
    OrderCommands,
    TransferCommands,
    StockQueries,
    CatalogQueries,
    OrderQueries,
    PipelineAdmin,
    AuditAdmin,
):
    """The services behind one address, as coroutines; an asynchronous context manager.

    address: host:port that speaks gRPC.
    tls: how to reach it over TLS; without, in plaintext, as through a sidecar on the same machine.
    token: a source of access tokens, which say who calls (see `client.tokens`).
    actor: who calls, to a service that asks for no proof; any other ignores it.
    timeout: seconds for a call with all its attempts, where the call names none.
    retry: bounds on the attempts.
    read_your_writes: whether a query that says nothing of its consistency is answered at least as fresh as
        the last command of this client; of commands under way together, that is the one recorded last.

    Every method takes and returns the messages of the contracts and raises `client.errors`. A command
    without a request_id is sent with a new one (the caller's message is left as it is), so that every
    attempt of the call is the same request; the answer and every error carry it. Safe for any number of
    concurrent calls of one event loop.
    """
