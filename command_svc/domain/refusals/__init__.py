"""Why a command is refused. A refused command has changed nothing.

Refusal
├── ItemNotFoundError
├── LocationNotFoundError
├── ItemAlreadyExistsError
├── LocationAlreadyExistsError
├── ItemNotStockedError
├── InsufficientStockError
├── QuantityOutOfRangeError
├── RequestIdReusedError
├── VersionMismatchError
├── LocationNotAllowedError
├── BackordersOutstandingError
├── ReservationNotFoundError
├── ReservationExpiredError
├── ReservationResolvedError
├── ExceedsReservationError
├── ItemArchivedError
├── ItemInUseError
├── InvalidParentError
├── InvalidComponentError
├── LocationInactiveError
├── OrderNotFoundError
├── OrderClosedError
├── ExceedsOrderError
├── TransferNotFoundError
├── TransferResolvedError
├── ExceedsTransferError
├── LotRequiredError
├── LotNotTrackedError
├── LotNotFoundError
├── LotMismatchError
├── SerialAlreadyPresentError
├── SerialNotFoundError
└── SerialsRequiredError
"""

from command_svc.domain.refusals.catalog import (
    InvalidComponentError,
    InvalidParentError,
    ItemAlreadyExistsError,
    ItemArchivedError,
    ItemInUseError,
    ItemNotFoundError,
    LocationAlreadyExistsError,
    LocationInactiveError,
    LocationNotFoundError,
)
from command_svc.domain.refusals.lots import (
    LotMismatchError,
    LotNotFoundError,
    LotNotTrackedError,
    LotRequiredError,
    SerialAlreadyPresentError,
    SerialNotFoundError,
    SerialsRequiredError,
)
from command_svc.domain.refusals.promises import (
    ExceedsOrderError,
    ExceedsReservationError,
    ExceedsTransferError,
    OrderClosedError,
    OrderNotFoundError,
    ReservationExpiredError,
    ReservationNotFoundError,
    ReservationResolvedError,
    TransferNotFoundError,
    TransferResolvedError,
)
from command_svc.domain.refusals.refusal import (
    Refusal,
)
from command_svc.domain.refusals.requests import (
    LocationNotAllowedError,
    RequestIdReusedError,
    VersionMismatchError,
)
from command_svc.domain.refusals.stock import (
    BackordersOutstandingError,
    InsufficientStockError,
    ItemNotStockedError,
    QuantityOutOfRangeError,
)

__all__ = [
    "BackordersOutstandingError",
    "ExceedsOrderError",
    "ExceedsReservationError",
    "ExceedsTransferError",
    "InsufficientStockError",
    "InvalidComponentError",
    "InvalidParentError",
    "ItemAlreadyExistsError",
    "ItemArchivedError",
    "ItemInUseError",
    "ItemNotFoundError",
    "ItemNotStockedError",
    "LocationAlreadyExistsError",
    "LocationInactiveError",
    "LocationNotAllowedError",
    "LocationNotFoundError",
    "LotMismatchError",
    "LotNotFoundError",
    "LotNotTrackedError",
    "LotRequiredError",
    "OrderClosedError",
    "OrderNotFoundError",
    "QuantityOutOfRangeError",
    "Refusal",
    "RequestIdReusedError",
    "ReservationExpiredError",
    "ReservationNotFoundError",
    "ReservationResolvedError",
    "SerialAlreadyPresentError",
    "SerialNotFoundError",
    "SerialsRequiredError",
    "TransferNotFoundError",
    "TransferResolvedError",
    "VersionMismatchError",
]
