"""What the metrics show of the runs of a flow: the last run, beside the medians of the runs before."""

import time

from recsys.store.run_record import COMPLETED, CRASHED, RUNNING, RunFigures, RunRecord, summary

START = 1_000_000.0


def run(number, **fields):
    made = RunFigures(rows_out=fields.pop("rows", None))
    defaults = {"flow": "batch", "run": f"run-{number}", "deployment": "trained", "limit": 600.0, "figures": made}
    return RunRecord(start=START + 100 * number, **defaults, **fields)


def completed(number, seconds=10.0, **fields):
    return run(number, state=COMPLETED, end=START + 100 * number + seconds, **fields)


def test_a_killed_run_does_not_run_for_ever():
    """A run that was killed reports no end; after its time limit it counts as crashed."""
    killed = run(0)
    assert killed.state_at(killed.start + 599) == RUNNING
    assert killed.state_at(killed.start + 700) == CRASHED
    assert summary([killed], killed.start + 599).last == {"seconds": 599.0}
    assert summary([killed], killed.start + 700).last == {}


def test_a_summary_compares_the_last_run_with_the_runs_before():
    """Medians need five runs before the last one. A run that still runs has a time, and no rows yet."""
    before = [completed(number, rows=100 + number) for number in range(5, 0, -1)]
    last = completed(6, seconds=40.0, rows=60)
    assert summary(before, time.time()).median == {}
    of_all = summary([last, *before], time.time())
    assert of_all.last_success == last.end
    assert of_all.last == {"rows_out": 60, "seconds": 40.0}
    assert of_all.median == {"rows_out": 103, "seconds": 10.0}
    hangs = summary([run(7), last, *before], START + 1_200)
    assert hangs.last == {"rows_out": 60, "seconds": 500.0}
    assert hangs.last_success == last.end
