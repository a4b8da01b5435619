"""What the pipeline tells Prometheus: figures that are known, none that are not, and drift that reads 0."""

from __future__ import annotations

from prometheus_client.metrics_core import Metric

from cdc.comparison import LEVELS, Report
from cdc.pipeline.metrics import pipeline_metrics, reconciliation_metrics
from cdc.reconcile import SPOTS, Status
from inventory.admin.v1 import pipeline_service_pb2 as pb


def samples(metrics: list[Metric]) -> dict[tuple[str, ...], float]:
    """Return the values by name and labels."""
    told = [sample for metric in metrics for sample in metric.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in told}


def test_all_parts_are_told() -> None:
    answer = pb.GetPipelineStatusResponse()
    reader = answer.readers.add(name="inventory.projector", dead_letter_count=2)
    reader.partitions.add(topic="inventory.journal", partition=0, lag=7)
    answer.slot.name, answer.slot.retained_bytes = "inventory", 4096
    answer.view_age.FromMilliseconds(1500)
    answer.connector.state = "RUNNING"
    answer.connector.tasks.add(task_id=0, state="FAILED")
    told = samples(pipeline_metrics(answer))
    assert told["inventory_consumer_lag_records", "inventory.projector", "inventory.journal", "0"] == 7
    assert told["inventory_dead_letters", "inventory.projector"] == 2
    assert told["inventory_slot_retained_bytes", "inventory"] == 4096
    assert told[("inventory_view_age_seconds",)] == 1.5
    assert told["inventory_connector_state", "connector", "RUNNING"] == 1
    assert told["inventory_connector_state", "task 0", "RUNNING"] == 0
    assert told["inventory_connector_state", "task 0", "FAILED"] == 1
    assert told["inventory_pipeline_part_unavailable", "broker"] == 0


def test_what_cannot_be_asked_has_no_figure_and_says_so() -> None:
    answer = pb.GetPipelineStatusResponse()
    answer.readers.add(name="inventory.projector")
    for part in ("dead letters", "read model"):
        answer.unavailable.add(part=part, cause="away")
    told = samples(pipeline_metrics(answer))
    assert {name for name, *_ in told} == {"inventory_pipeline_part_unavailable"}
    assert told["inventory_pipeline_part_unavailable", "dead letters"] == 1
    assert told["inventory_pipeline_part_unavailable", "database"] == 0


def test_drift_reads_nought_everywhere_before_anything_is_found() -> None:
    told = samples(reconciliation_metrics(Status()))
    assert told == {("inventory_drift", *spot): 0 for spot in SPOTS}


def test_drift_is_told_at_once_and_until_a_cycle_finds_none() -> None:
    status = Status(current_start_time=1.0)
    status.current.fault(LEVELS, "it differs")
    told = samples(reconciliation_metrics(status))
    assert told["inventory_drift", *LEVELS] == 1
    assert told[("inventory_reconciliation_cycle_age_seconds",)] > 1e9
    status.last, status.current = status.current, Report()
    assert samples(reconciliation_metrics(status))["inventory_drift", *LEVELS] == 1
    status.last = status.current
    assert samples(reconciliation_metrics(status))["inventory_drift", *LEVELS] == 0
