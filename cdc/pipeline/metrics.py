"""The pipeline in figures, for Prometheus: what GetPipelineStatus and the reconciliation tell."""

import time
from collections.abc import Sequence

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from cdc.reconcile import SPOTS, Status
from inventory.admin.v1 import pipeline_service_pb2 as pb

CONNECTOR_STATES = ("RUNNING", "FAILED", "PAUSED", "UNASSIGNED")
"""The states that always have a sample, of 0 or 1."""
PARTS = ("broker", "connector", "database", "dead letters", "read model")


def pipeline_metrics(answer: pb.GetPipelineStatusResponse) -> list[Metric]:
    """Return how the parts stand; what cannot be told at present has no sample."""
    away = {one.part for one in answer.unavailable}
    lag = GaugeMetricFamily(
        "inventory_consumer_lag_records",
        "Records of the journal that a reader has still to read.",
        labels=["reader", "topic", "partition"],
    )
    letters = GaugeMetricFamily(
        "inventory_dead_letters", "Dead letters that nobody has dealt with.", labels=["reader"]
    )
    for reader in answer.readers:
        for one in reader.partitions:
            lag.add_metric([reader.name, one.topic, str(one.partition)], one.lag)
        if "dead letters" not in away:
            letters.add_metric([reader.name], reader.dead_letter_count)
    slot = GaugeMetricFamily(
        "inventory_slot_retained_bytes",
        "Bytes of the log that the database keeps for the connector.",
        labels=["slot"],
    )
    if answer.HasField("slot"):
        slot.add_metric([answer.slot.name], answer.slot.retained_bytes)
    age = GaugeMetricFamily(
        "inventory_view_age_seconds", "For how long the view has lacked what it lacks; 0 if it shows all."
    )
    if answer.HasField("view_age"):
        age.add_metric([], answer.view_age.ToTimedelta().total_seconds())
    unavailable = GaugeMetricFamily(
        "inventory_pipeline_part_unavailable", "1 while a part does not answer.", labels=["part"]
    )
    for part in PARTS:
        unavailable.add_metric([part], part in away)
    return [lag, letters, slot, age, unavailable, _connector(answer)]


def reconciliation_metrics(status: Status) -> list[Metric]:
    """Return what differs, and how long ago all was compared."""
    drift = GaugeMetricFamily(
        "inventory_drift",
        "Differences found by the last finished cycle of the reconciliation, or more by the one that runs.",
        labels=["place", "kind"],
    )
    for spot in SPOTS:
        last = status.last.drift[spot] if status.last is not None else 0
        drift.add_metric(spot, max(last, status.current.drift[spot]))
    age = GaugeMetricFamily(
        "inventory_reconciliation_cycle_age_seconds",
        "Since when no cycle of the reconciliation has been finished.",
    )
    if since := status.last_end_time or status.current_start_time:
        age.add_metric([], max(0.0, time.time() - since))
    return [drift, age]


def _connector(answer: pb.GetPipelineStatusResponse) -> Metric:
    family = GaugeMetricFamily(
        "inventory_connector_state",
        "1 at the present state of the connector and of each of its tasks.",
        labels=["part", "state"],
    )
    states: Sequence[tuple[str, str]] = ()
    if answer.HasField("connector"):
        tasks = ((f"task {task.task_id}", task.state) for task in answer.connector.tasks)
        states = [("connector", answer.connector.state), *tasks]
    for part, present in states:
        for state in dict.fromkeys([*CONNECTOR_STATES, present]):
            family.add_metric([part, state], state == present)
    return family
