"""The alerts on flows: each fires for its fault and for no other, by promtool on the metrics of recorded runs."""

from dataclasses import replace

import pytest

from loadtests.slo import Promises
from recsys.flow_names import FLOWS, LIST_FLOWS
from recsys.store.run_record import CRASHED, RunFigures, RunRecord
from tests.flows.runs.flow_alert_check import check_alerts
from tests.sample_data.healthy_runs import FIGURES, NIGHT, NOW, PERIODS, healthy
from tests.servers.prometheus import FLOW_ALERTS


def changed(flow, **changes):
    """Healthy runs, of which the last one is different."""
    last, *before = healthy(flow)
    return {flow: [replace(last, **changes), *before]}


def late(*flows):
    """Runs that were healthy until the promised time passed."""
    shift = {flow: Promises.read().flows[flow] + 60 for flow in flows}
    return {
        flow: [replace(each, start=each.start - by, end=each.end - by) for each in healthy(flow)]
        for flow, by in shift.items()
    }


def running(flow, seconds):
    """Healthy runs, and one that has not ended."""
    return {flow: [RunRecord(flow, "hangs", "often", NOW - seconds, 4 * 3_600), *healthy(flow)]}


def ended(flow, state):
    """Healthy runs, and one that ended in this state after a second."""
    return {flow: [RunRecord(flow, "ended", "often", NOW - 9, 4 * 3_600, state, NOW - 8), *healthy(flow)]}


FAULTS = {
    "nothing": ({}, []),
    "no training this night": (late("train"), ["TandemFlowLate train"]),
    "no monitor": (late("monitor"), ["TandemFlowLate monitor"]),
    "no lists": (late(*LIST_FLOWS), [f"TandemListsOld {flow}" for flow in LIST_FLOWS]),
    "a training hangs": (running("train", 3_600), ["TandemFlowSlow train"]),
    "a training runs": (running("train", 600), []),
    "a training was killed": (running("train", 5 * 3_600), []),
    "a batch took four times as long": (changed("batch", start=NOW - 0.5 * NIGHT - 1_300), ["TandemFlowSlow batch"]),
    "a monitor took four times as long": (changed("monitor", start=NOW - 30 - 59), []),
    "40 % of the rows are lost": (
        changed("train", figures=replace(FIGURES, rows_in=600, rows_out=540)),
        ["TandemFlowRowsFell train in", "TandemFlowRowsFell train out"],
    ),
    "20 % of the rows are lost": (changed("train", figures=replace(FIGURES, rows_in=800, rows_out=720)), []),
    "a quiet hour": (changed("refresh", figures=replace(FIGURES, rows_in=0, rows_out=0)), []),
    "the model is worse": (changed("train", figures=replace(FIGURES, quality=0.17)), ["TandemQualityFell train"]),
    "the model is slightly worse": (changed("train", figures=replace(FIGURES, quality=0.19)), []),
    "a column of served slates drifted": (
        changed("drift", figures=RunFigures(drift={"training/score": (0.1, 0.001, 0), "week/score": (0.4, 0.001, 1)})),
        ["TandemDrift week score"],
    ),
    "2 % of a feature's logged values are wrong": (
        changed("drift", figures=RunFigures(skew={"feature.age_days": 0.02, "feature.price": 0.009})),
        ["TandemSkew feature.age_days"],
    ),
    "a failed run": (ended("train", CRASHED), []),
}


def test_the_promises_are_for_flows_that_leave_records_and_longer_than_their_periods():
    """A promise of another flow never fires, and a promise of one period fires in each."""
    promised = Promises.read().flows
    assert {*promised} <= {*FLOWS} == {*PERIODS}
    assert all(seconds > PERIODS[flow] for flow, seconds in promised.items())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_flow_fires_its_alert_alone(fault, tmp_path):
    """Records of eight runs of each flow, as a gateway exports them; of all rules on flows those alerts fire."""
    records, expected = FAULTS[fault]
    check_alerts(FLOW_ALERTS, {flow: healthy(flow) for flow in FLOWS} | records, NOW, expected, tmp_path)
