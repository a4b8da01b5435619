"""What a caller asks of the freshness of an answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

from inventory.query.v1.consistency_pb2 import Consistency
from inventory.type.v1 import error_reason_pb2
from serving import tokens
from serving.errors import CallError
from serving.tokens import CommittedTransaction

TOLERANCE: Final = timedelta(seconds=60)
"""How far the clocks of the machines may differ."""


class Demand(Enum):
    """A demand that names no transaction."""

    ANY = "as the view is"
    EVERYTHING = "everything that is committed"


Requirement = Demand | CommittedTransaction
"""How fresh an answer must be: at least the transaction, where there is one."""


def requirement_of(consistency: Consistency, now: datetime, installation: bytes | None) -> Requirement:
    """Return what is asked for. Raise CallError INVALID_CONSISTENCY_TOKEN.

    `installation` is what stands for this one in tokens, None while that is not known.
    """
    kind = consistency.WhichOneof("requirement")
    if kind is None:
        return Demand.ANY
    if kind == "fully_consistent":
        return Demand.EVERYTHING
    token = consistency.at_least_as_fresh
    try:
        transaction = tokens.decode(token)
    except tokens.InvalidTokenError as error:
        raise invalid_token(token, "is none that a command has answered with") from error
    if abs(_id_time(transaction) - transaction.record_time) > TOLERANCE:
        raise invalid_token(token, "is none that a command has answered with")
    if installation and transaction.installation not in (b"", installation):
        raise invalid_token(token, "is of another installation")
    if transaction.record_time > now + TOLERANCE:
        raise invalid_token(token, "is from the future")
    return transaction


def invalid_token(token: str, problem: str) -> CallError:
    """Return the error for a token that cannot be honoured."""
    return CallError(
        error_reason_pb2.ERROR_REASON_INVALID_CONSISTENCY_TOKEN,
        f"the consistency token {problem}",
        metadata={"consistency_token": token},
    )


def _id_time(transaction: CommittedTransaction) -> datetime:
    """Return the time in the transaction's id, a UUIDv7; that of 1970 for any other UUID."""
    name = transaction.transaction_id
    milliseconds = name.int >> 80 if name.version == 7 else 0  # noqa: PLR2004 - the version with a time
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
