"""The read model: levels, items and locations in Redis, as the projector keeps them.

The only package that knows Redis.
"""

from query_svc.read_model.errors import ReadModelError, ReadModelRewoundError, ReadModelUnavailableError
from query_svc.read_model.get import ReadModel, connect

__all__ = [
    "ReadModel",
    "ReadModelError",
    "ReadModelRewoundError",
    "ReadModelUnavailableError",
    "connect",
]
