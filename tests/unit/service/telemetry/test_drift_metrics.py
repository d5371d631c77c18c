"""The drift and skew of served slates that gateways export, from the records of the flow `drift`."""

import math

from prometheus_client import REGISTRY

from recsys.store.run_record import COMPLETED, FAILED, RunFigures, RunRecord
from service.telemetry.flow_runs import export


def record(state, **figures):
    return RunRecord("drift", "1", "hourly", 1.0, 60.0, state, 2.0, RunFigures(**figures))


def test_the_newest_completed_run_counts():
    """A column that the newest run did not compare has no value any more; a failed run changes nothing."""
    newest = record(COMPLETED, drift={"week/score": (0.3, 0.01, 1)}, skew={"feature.age_days": 0.02})
    earlier = record(COMPLETED, drift={"training/mode": (0.4, 0.001, 1)}, skew={"feature.gone": 0.5})
    export({"drift": [record(FAILED), newest, earlier]}, 3.0)

    def value(name, **labels):
        return REGISTRY.get_sample_value(name, labels)

    assert value("tandem_drift_psi", against="week", column="score") == 0.3
    assert value("tandem_drift_alarm", against="week", column="score") == 1
    assert math.isnan(value("tandem_drift_alarm", against="training", column="mode"))
    assert value("tandem_skew_share", column="feature.age_days") == 0.02
    assert math.isnan(value("tandem_skew_share", column="feature.gone"))
