"""The read model: everything that queries are answered from, in Redis, as the projector keeps them.

The only package that knows Redis.
"""

from query_svc.read_model.apply import Applied, Gap, ReadModelWriter, connect_writer
from query_svc.read_model.errors import (
    ReadModelError,
    ReadModelRefusedError,
    ReadModelRewoundError,
    ReadModelUnavailableError,
)
from query_svc.read_model.follower import Follower, connect_follower
from query_svc.read_model.generations import Generations, Phase, Plan, connect_generations
from query_svc.read_model.get import ReadModel, connect
from query_svc.read_model.keys import GENERATION, bucket_of
from query_svc.read_model.maintenance import Maintenance, Stored, connect_maintenance
from query_svc.read_model.marks import Commits, Mark, Marks, connect_marks
from query_svc.read_model.rows import Changes, Versioned
from query_svc.read_model.walk import Span

__all__ = [
    "GENERATION",
    "Applied",
    "Changes",
    "Commits",
    "Follower",
    "Gap",
    "Generations",
    "Maintenance",
    "Mark",
    "Marks",
    "Phase",
    "Plan",
    "ReadModel",
    "ReadModelError",
    "ReadModelRefusedError",
    "ReadModelRewoundError",
    "ReadModelUnavailableError",
    "ReadModelWriter",
    "Span",
    "Stored",
    "Versioned",
    "bucket_of",
    "connect",
    "connect_follower",
    "connect_generations",
    "connect_maintenance",
    "connect_marks",
    "connect_writer",
]
