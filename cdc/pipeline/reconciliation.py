"""What the reconciliation has come to know, as PipelineService tells it."""

from datetime import UTC, datetime

from cdc.reconcile import SPOTS, Report, Status
from inventory.admin.v1 import pipeline_service_pb2 as pb

CHARACTERS = 500


def shown(status: Status) -> pb.GetReconciliationResponse:
    """Return the cycle that runs, the last one, and all together."""
    answer = pb.GetReconciliationResponse(
        cycle_count=status.cycles, totals=_counts(status.total), waiting_for=status.trouble[:CHARACTERS]
    )
    if status.current_start_time and status.current is not status.last:
        answer.current.CopyFrom(_cycle(status.current, status.current_start_time, step=status.walk))
    if status.last is not None:
        answer.last.CopyFrom(_cycle(status.last, status.last_start_time))
        answer.last.end_time.FromDatetime(datetime.fromtimestamp(status.last_end_time, UTC))
    return answer


def _cycle(report: Report, start_time: float, *, step: str = "") -> pb.ReconciliationCycle:
    findings = [fault[:CHARACTERS] for fault in report.faults]
    cycle = pb.ReconciliationCycle(step=step, counts=_counts(report), findings=findings)
    cycle.start_time.FromDatetime(datetime.fromtimestamp(start_time, UTC))
    return cycle


def _counts(report: Report) -> list[pb.ReconciliationCount]:
    return [
        pb.ReconciliationCount(
            place=spot.place,
            kind=spot.kind,
            compared_count=report.compared[spot],
            drift_count=report.drift[spot],
            repaired_count=report.repaired[spot],
            retired_count=report.retired[spot],
        )
        for spot in SPOTS
    ]
