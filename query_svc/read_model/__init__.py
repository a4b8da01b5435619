"""The read model: levels, items and locations in Redis, as the projector keeps them.

The only package that knows Redis.
"""

from query_svc.read_model.apply import Applied, Changes, ReadModelWriter, connect_writer
from query_svc.read_model.errors import ReadModelError, ReadModelRewoundError, ReadModelUnavailableError
from query_svc.read_model.get import ReadModel, connect

__all__ = [
    "Applied",
    "Changes",
    "ReadModel",
    "ReadModelError",
    "ReadModelRewoundError",
    "ReadModelUnavailableError",
    "ReadModelWriter",
    "connect",
    "connect_writer",
]
