"""What a call can fail with.

Every refusal of the service arrives as the exception of its published reason
(inventory.type.v1.ErrorReason), with the figures of the refusal in `metadata`:

    InventoryError                      any failed call
    ├── InvalidFieldError               a field breaks its rule; see `field_violations`
    ├── RequestTooLargeError            the body or the headers are larger than they may be
    ├── AddressNotFoundError            no method has the address that was called over HTTP
    ├── InvalidPageTokenError           the page token is not one this list has handed out
    ├── InvalidConsistencyTokenError    the consistency token is none that a command has answered with
    ├── InvalidCursorError              the cursor is not one that a watch has handed out
    ├── CursorExpiredError              changes after the cursor are no longer kept: list again, then watch
    ├── WatchTooSlowError               the watch was not read as fast as changes came
    ├── NotFoundError
    │   ├── ItemNotFoundError
    │   ├── LocationNotFoundError
    │   ├── LevelNotFoundError          the item has never been stocked at the location
    │   ├── ReservationNotFoundError
    │   ├── OrderNotFoundError
    │   ├── TransferNotFoundError
    │   ├── LotNotFoundError            the item has no such lot at the location
    │   ├── SerialNotFoundError         no unit with the serial is there to be taken
    │   └── DeadLetterNotFoundError     no dead letter has the id, or it has been dealt with
    ├── AlreadyExistsError
    │   ├── ItemAlreadyExistsError
    │   ├── LocationAlreadyExistsError
    │   └── SerialAlreadyPresentError   a unit of the item with the serial is present already
    ├── InsufficientStockError          fewer units are free than the command asks for
    ├── QuantityOutOfRangeError         the level would pass the largest quantity kept
    ├── BackordersOutstandingError      the backorder limit would fall below what is backordered
    ├── ItemNotStockedError             the item is not counted
    ├── ItemArchivedError               the item takes no new stock and no new promises
    ├── ItemInUseError                  stock or promises of the item remain, so it cannot be archived
    ├── LocationInactiveError           the location takes no new stock and no new promises
    ├── InvalidParentError              a variant's parent does not exist, or is a variant itself
    ├── InvalidComponentError           a bundle's component cannot be one
    ├── LotRequiredError                the item is kept by lots, and the command names none
    ├── LotNotTrackedError              the item is not kept by lots, and the command names one
    ├── LotMismatchError                the lot is known with another expiry date, or with none
    ├── SerialsRequiredError            the serials of the units must be named, one for each
    ├── ReservationExpiredError         the reservation ran out of time before the command was decided
    ├── ReservationResolvedError        the reservation has been confirmed or cancelled already
    ├── ExceedsReservationError         the confirmation names more than the reservation still holds
    ├── OrderClosedError                the order is fulfilled or cancelled
    ├── ExceedsOrderError               the command names more than the order has left for it
    ├── RebuildUnderWayError            another rebuild of the view is under way
    ├── TransferResolvedError           the transfer has been received or cancelled already
    ├── ExceedsTransferError            the receipt names more than is under way
    ├── RequestIdReusedError            the request id belongs to an earlier, different command
    ├── VersionMismatchError            what the command changes has changed since the caller read it
    ├── UnauthenticatedError            the caller does not prove who it is; see metadata["cause"]
    ├── PermissionDeniedError           the caller may not do this
    │   ├── StepUpRequiredError         not without having signed in anew, by more than a password
    │   └── LocationNotAllowedError     not at this location
    ├── QueueFullError                  nothing was tried; repeat after `retry_after`
    ├── RateLimitedError                the caller asks too often; repeat after `retry_after`
    ├── UnavailableError                the service was not reached, or could not answer
    │   └── DependencyUnavailableError  a part the answer depends on does not answer
    ├── DeadlineExceededError           a command may or may not have been committed
    └── InternalError                   a fault of the service, logged under metadata["error_id"]

A refused command has changed nothing. After UnavailableError and DeadlineExceededError the outcome of a
command is unknown: repeat it with the `request_id` of the exception to learn it.
"""

from .catalog import (
    InvalidComponentError,
    InvalidParentError,
    ItemAlreadyExistsError,
    ItemArchivedError,
    ItemInUseError,
    ItemNotFoundError,
    ItemNotStockedError,
    LocationAlreadyExistsError,
    LocationInactiveError,
    LocationNotFoundError,
)
from .error import (
    AlreadyExistsError,
    FieldViolation,
    InventoryError,
    NotFoundError,
)
from .promises import (
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
from .requests import (
    AddressNotFoundError,
    InvalidConsistencyTokenError,
    InvalidFieldError,
    InvalidPageTokenError,
    LocationNotAllowedError,
    PermissionDeniedError,
    RequestIdReusedError,
    RequestTooLargeError,
    StepUpRequiredError,
    UnauthenticatedError,
    VersionMismatchError,
)
from .service import (
    DeadlineExceededError,
    DependencyUnavailableError,
    InternalError,
    QueueFullError,
    RateLimitedError,
    UnavailableError,
)
from .stock import (
    BackordersOutstandingError,
    InsufficientStockError,
    LevelNotFoundError,
    LotMismatchError,
    LotNotFoundError,
    LotNotTrackedError,
    LotRequiredError,
    QuantityOutOfRangeError,
    SerialAlreadyPresentError,
    SerialNotFoundError,
    SerialsRequiredError,
)
from .view import (
    CursorExpiredError,
    DeadLetterNotFoundError,
    InvalidCursorError,
    RebuildUnderWayError,
    WatchTooSlowError,
)

__all__ = [
    "AddressNotFoundError",
    "AlreadyExistsError",
    "BackordersOutstandingError",
    "CursorExpiredError",
    "DeadLetterNotFoundError",
    "DeadlineExceededError",
    "DependencyUnavailableError",
    "ExceedsOrderError",
    "ExceedsReservationError",
    "ExceedsTransferError",
    "FieldViolation",
    "InsufficientStockError",
    "InternalError",
    "InvalidComponentError",
    "InvalidConsistencyTokenError",
    "InvalidCursorError",
    "InvalidFieldError",
    "InvalidPageTokenError",
    "InvalidParentError",
    "InventoryError",
    "ItemAlreadyExistsError",
    "ItemArchivedError",
    "ItemInUseError",
    "ItemNotFoundError",
    "ItemNotStockedError",
    "LevelNotFoundError",
    "LocationAlreadyExistsError",
    "LocationInactiveError",
    "LocationNotAllowedError",
    "LocationNotFoundError",
    "LotMismatchError",
    "LotNotFoundError",
    "LotNotTrackedError",
    "LotRequiredError",
    "NotFoundError",
    "OrderClosedError",
    "OrderNotFoundError",
    "PermissionDeniedError",
    "QuantityOutOfRangeError",
    "QueueFullError",
    "RateLimitedError",
    "RebuildUnderWayError",
    "RequestIdReusedError",
    "RequestTooLargeError",
    "ReservationExpiredError",
    "ReservationNotFoundError",
    "ReservationResolvedError",
    "SerialAlreadyPresentError",
    "SerialNotFoundError",
    "SerialsRequiredError",
    "StepUpRequiredError",
    "TransferNotFoundError",
    "TransferResolvedError",
    "UnauthenticatedError",
    "UnavailableError",
    "VersionMismatchError",
    "WatchTooSlowError",
]
