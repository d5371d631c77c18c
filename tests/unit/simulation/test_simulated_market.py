"""Facts of a log are found again, and deployments of a seed have the same users, visits and clicks."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from training.progress import NO_PROGRESS
from training.simulation import proof
from training.simulation.conditions import CONDITIONS, FIRST_LOG, LOOP, UNEXPLORED, Day
from training.simulation.fitted_facts import WEEK, Facts, fit
from training.simulation.loop_result import by_day, faults, paired, reward
from training.simulation.market import Market
from training.simulation.market_files import first_log

FACTS = Facts(skew=1.5, visit=1.4, turnover=0.1)


def test_the_fit_finds_the_facts_by_which_a_log_was_made():
    """Lognormal popularity, geometric visits, and a tenth of each week's events with items of that week."""
    random = np.random.default_rng(1)
    weeks, of_week, new = 20, 4_000, 400
    popularity = np.exp(FACTS.skew * random.normal(size=5_000))
    old = random.choice(5_000, (weeks, of_week - new), p=popularity / popularity.sum())
    items = np.concatenate([old, 10_000 + np.arange(weeks * new).reshape(weeks, new)], axis=1)
    visits = random.geometric(1 / FACTS.visit, weeks * of_week)  # users of one visit each
    users = np.repeat(np.arange(len(visits)), visits)[: items.size]
    times = np.repeat(np.arange(weeks), of_week) * WEEK + np.arange(items.size) % of_week
    found = fit(pd.DataFrame({"user_id": users, "item_id": items.ravel(), "timestamp": times}))
    assert found.visit == pytest.approx(FACTS.visit, abs=0.02)
    assert found.turnover == pytest.approx(new / of_week, abs=0.02)
    of_old = pd.DataFrame({"user_id": 1, "item_id": old.ravel(), "timestamp": 0})
    assert fit(of_old).skew == pytest.approx(FACTS.skew, abs=0.1)


def test_the_first_log_of_a_market_has_the_skew_of_its_facts():
    """About: users have no item twice, and taste spreads their choices."""
    found = fit(first_log(Market(FACTS, 3, 2)))
    assert found.skew == pytest.approx(FACTS.skew, abs=0.35)


def test_a_click_depends_on_item_and_place_alone():
    """Not on the rest of the slate: so slates of two deployments differ in clicks only where the slates differ."""
    one, other = Market(FACTS, 3, 2), Market(FACTS, 3, 2)
    visits = one.visits[1]
    assert (visits.users == other.visits[1].users).all()
    assert (visits.finds == other.visits[1].finds).all()
    rows = np.arange(len(visits.users))
    available = np.flatnonzero(one.available(1))
    slates = np.random.default_rng(0).permuted(np.tile(available, (len(rows), 1)), axis=1)[:, :10]
    changed = slates.copy()
    changed[:, 0] = available[0]
    clicked = one.clicks(1, visits.users, slates, rows)
    assert (clicked[:, 1:] == other.clicks(1, visits.users, changed, rows)[:, 1:]).all()
    some = rows[len(rows) // 2 :]
    assert (clicked[some] == other.clicks(1, visits.users[some], slates[some], some)).all()
    upside_down = one.clicks(1, visits.users, slates[:, ::-1], rows)[:, ::-1]
    assert clicked[:, 0].sum() > upside_down[:, 0].sum()


def test_a_loop_that_is_not_better_with_new_items_is_a_fault():
    """Ten seeds: the loop has more clicks, and as many on new items."""
    random = np.random.default_rng(2)
    base = [Day(slates=1_000, clicks=500 + int(each), new_clicks=20) for each in random.integers(50, size=10)]
    better = [
        replace(day, clicks=day.clicks + 30 + int(each))
        for day, each in zip(base, random.integers(9, size=10), strict=True)
    ]
    results = {each.name: [[day] for day in base] for each in CONDITIONS} | {LOOP.name: [[day] for day in better]}
    (sentence,) = faults(results)
    assert "new items" in sentence
    results[LOOP.name] = [[replace(day, new_clicks=22 + day.clicks % 3)] for day in better]
    assert faults(results) == []
    results[FIRST_LOG.name] = results[LOOP.name]
    assert len(faults(results)) == 2


def test_price_and_gain_of_exploration_are_what_the_loop_has_more():
    """Of 1,000 slates 100 explore and have 30 clicks; the others have one click in two, 0.48 without exploration."""
    loop = [[Day(slates=1_000, clicks=480 + seed, explored=100, explored_clicks=30)] for seed in range(3)]
    results = {each.name: loop for each in CONDITIONS} | {UNEXPLORED.name: [[Day(slates=1_000, clicks=480)]] * 3}
    (price,), (gain,), _ = by_day(results)
    assert price.mean == pytest.approx(0.481 - 451 / 900)
    assert gain.mean == pytest.approx(451 / 900 - 0.48)
    assert price.mean + gain.mean == pytest.approx(paired(results, UNEXPLORED, reward).mean)


def test_a_change_of_the_code_runs_a_finished_proof_anew(tmp_path, monkeypatch):
    """Finished days are read while the code is the same. With one script more a deployment begins."""

    def start(folder):
        raise InterruptedError(folder)

    (tmp_path / "service").mkdir()
    monkeypatch.setattr(proof, "ROOT", tmp_path)
    monkeypatch.setattr(proof, "CONDITIONS", (LOOP,))
    monkeypatch.setattr(proof, "SimulatedClock", start)
    (tmp_path / f"seed-0-loop-2-days-{proof.code_digest()}.json").write_text("[]")
    assert proof.Proof(tmp_path, FACTS, seeds=1, days=2).run(NO_PROGRESS) == {"loop": [[]]}
    (tmp_path / "service" / "script.lua").write_text("return 1")
    with pytest.raises(InterruptedError):
        proof.Proof(tmp_path, FACTS, seeds=1, days=2).run(NO_PROGRESS)
