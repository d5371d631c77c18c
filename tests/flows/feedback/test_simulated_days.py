"""Simulated users of a real deployment that trains at night."""

import shutil

import pytest

from training.progress import NO_PROGRESS
from training.simulation import conditions, market, proof
from training.simulation.fitted_facts import Facts
from training.simulation.proof import Proof


@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="the clock needs a C compiler")
def test_a_night_teaches_the_next_day_and_a_finished_deployment_does_not_run_again(tmp_path, monkeypatch):
    """Two days of 200 users in two conditions: same visits, and the loop trains on what the first day brought."""
    monkeypatch.setattr(market, "USERS", 200)
    monkeypatch.setattr(proof, "CONDITIONS", (conditions.FIRST_LOG, conditions.LOOP))
    made = Proof(tmp_path, Facts(skew=1.5, visit=1.3, turnover=0.1), seeds=1, days=2)
    results = made.run(NO_PROGRESS)
    (alone,), (loop,) = results["first-log"], results["loop"]
    assert [day.slates for day in alone] == [day.slates for day in loop]
    assert 0 < loop[0].explored < loop[0].slates
    assert alone[0].explored == 0
    assert loop[0].events > loop[0].clicks
    again = Proof(tmp_path, Facts(0, 0, 0), seeds=1, days=2)
    assert again.run(NO_PROGRESS) == results
