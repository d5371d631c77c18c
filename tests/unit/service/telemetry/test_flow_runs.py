"""What gateways export from the records of flows: drift and skew of served slates, and the lifts of arms."""

import math

from prometheus_client import REGISTRY

from recsys.store.run_record import COMPLETED, FAILED, RunFigures, RunRecord
from service.telemetry.flow_runs import export


def record(flow, state, **figures):
    return RunRecord(flow, "1", "often", 1.0, 60.0, state, 2.0, RunFigures(**figures))


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels)


def test_the_newest_completed_run_counts():
    """What the newest run does not have, has no value any more; a failed run changes nothing."""
    drift = [
        record("drift", FAILED),
        record("drift", COMPLETED, drift={"week/score": (0.3, 0.01, 1)}, skew={"feature.age_days": 0.02}),
        record("drift", COMPLETED, drift={"training/mode": (0.4, 0.001, 1)}, skew={"feature.gone": 0.5}),
    ]
    reports = [
        record("experiment-reports", FAILED, lifts={}),
        record("experiment-reports", COMPLETED, lifts={"look/new": (0.05, 0.01, 0.09)}),
        record("experiment-reports", COMPLETED, lifts={"look/new": (0.5, 0.1, 0.9), "gone/old": (0.1, -0.1, 0.3)}),
    ]
    export({"drift": drift, "experiment-reports": reports}, 3.0)
    assert value("tandem_drift_psi", against="week", column="score") == 0.3
    assert value("tandem_drift_alarm", against="week", column="score") == 1
    assert math.isnan(value("tandem_drift_alarm", against="training", column="mode"))
    assert value("tandem_skew_share", column="feature.age_days") == 0.02
    assert math.isnan(value("tandem_skew_share", column="feature.gone"))
    lift = [
        value("tandem_experiment_lift", experiment="look", arm="new", bound=bound) for bound in ("value", "low", "high")
    ]
    assert lift == [0.05, 0.01, 0.09]
    assert math.isnan(value("tandem_experiment_lift", experiment="gone", arm="old", bound="low"))
