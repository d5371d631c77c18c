"""The lifts of arms that gateways export, from the records of reports."""

import math

from prometheus_client import REGISTRY

from recsys.store.run_record import COMPLETED, FAILED, RunFigures, RunRecord
from service.telemetry.flow_runs import export


def record(state, lifts):
    return RunRecord("experiment-reports", "1", "often", 1.0, 60.0, state, 2.0, RunFigures(lifts=lifts))


def test_the_newest_completed_report_counts():
    """An arm of an earlier report has no lift any more; a failed run changes nothing."""
    newest = record(COMPLETED, {"look/new": (0.05, 0.01, 0.09)})
    earlier = record(COMPLETED, {"look/new": (0.5, 0.1, 0.9), "gone/old": (0.1, -0.1, 0.3)})
    export({"experiment-reports": [record(FAILED, {}), newest, earlier]}, 3.0)

    def lift(experiment, arm, bound):
        labels = {"experiment": experiment, "arm": arm, "bound": bound}
        return REGISTRY.get_sample_value("tandem_experiment_lift", labels)

    assert [lift("look", "new", bound) for bound in ("value", "low", "high")] == [0.05, 0.01, 0.09]
    assert math.isnan(lift("gone", "old", "low"))
