"""The read model: everything that queries are answered from, in Redis, as the projector keeps them.

The only package that knows Redis.
"""

from query_svc.read_model.apply import Applied, Gap, ReadModelWriter, connect_writer
from query_svc.read_model.connection import RedisUrl
from query_svc.read_model.errors import (
    ReadModelError,
    ReadModelRefusedError,
    ReadModelRewoundError,
    ReadModelUnavailableError,
)
from query_svc.read_model.feed import Feed, FeedEntry, FeedState, Place, connect_feed
from query_svc.read_model.feed_writing import FEED_ENTRIES, Told
from query_svc.read_model.generations import Generations, Phase, Plan, connect_generations
from query_svc.read_model.generations_writer import GenerationsWriter, connect_generations_writer
from query_svc.read_model.get import ReadModel, connect
from query_svc.read_model.index_maintenance import Listed
from query_svc.read_model.keys import BUCKETS, GENERATION, bucket_of
from query_svc.read_model.maintenance import Maintenance, Stored, connect_maintenance
from query_svc.read_model.marks import Commits, Mark, Marks, connect_marks
from query_svc.read_model.rebuilds import LEASE_SECONDS, RebuildRecord, Rebuilds, connect_rebuilds
from query_svc.read_model.retention import CLOSED_DAYS, FEWEST_CLOSED_DAYS, MOST_CLOSED_DAYS, Retention
from query_svc.read_model.rows import Changes, Versioned
from query_svc.read_model.walk import Span

__all__ = [
    "BUCKETS",
    "CLOSED_DAYS",
    "FEED_ENTRIES",
    "FEWEST_CLOSED_DAYS",
    "GENERATION",
    "LEASE_SECONDS",
    "MOST_CLOSED_DAYS",
    "Applied",
    "Changes",
    "Commits",
    "Feed",
    "FeedEntry",
    "FeedState",
    "Gap",
    "Generations",
    "GenerationsWriter",
    "Listed",
    "Maintenance",
    "Mark",
    "Marks",
    "Phase",
    "Place",
    "Plan",
    "ReadModel",
    "ReadModelError",
    "ReadModelRefusedError",
    "ReadModelRewoundError",
    "ReadModelUnavailableError",
    "ReadModelWriter",
    "RebuildRecord",
    "Rebuilds",
    "RedisUrl",
    "Retention",
    "Span",
    "Stored",
    "Told",
    "Versioned",
    "bucket_of",
    "connect",
    "connect_feed",
    "connect_generations",
    "connect_generations_writer",
    "connect_maintenance",
    "connect_marks",
    "connect_rebuilds",
    "connect_writer",
]
