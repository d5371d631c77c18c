"""The gate: each check passes just inside its bound, fails just outside, and its sentence has both figures."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recsys.generation.manifest import FORMAT
from tests.flows.ring_dataset import dataset
from training.encode.interaction_log import encode
from training.judge.gate.check import failed
from training.judge.gate.dataset_profile import DataProfile, LiveGeneration
from training.judge.gate.gate import check_data, check_model, check_trained
from training.judge.metric_table import Comparison, Evaluation
from training.results import ArmJudgement, Estimate, Judgement, Overlap, Preview, Refusal, Scores

DATA = DataProfile("shop", rows=10_000, users=500, items=300, described=300, filled={"genre": 0.9, "available": 1.0})
SPREAD = Scores(1000, (0, 100, 290, 270, 280, 40, 10, 8, 2, 0))


def row(recall, ndcg, *, cold=None, new=None, queries=2_000, segment=400):
    """A model's figures, each with a standard error of .01; cold and new: a recall, NDCG being half of it."""
    figures = {"queries": queries, "recall@10": recall, "se_recall@10": 0.01, "ndcg@10": ndcg, "se_ndcg@10": 0.01}
    for prefix, value in (("cold_", cold), ("new_", new)):
        figures[f"{prefix}queries"] = segment if value is not None else 0
        for metric, figure in (("recall@10", value), ("ndcg@10", None if value is None else value / 2)):
            figures[prefix + metric], figures[f"{prefix}se_{metric}"] = figure, None if value is None else 0.01
    return figures


def evaluation(served, baseline=None, *, order=None, scores=SPREAD, queries=2_000, comparison=None, **more):
    """An evaluation whose best baseline is recency_popularity unless `more` has a better one."""
    rows = {
        "popularity": row(0.05, 0.02),
        "recency_popularity": baseline or row(0.1, 0.05),
        "two_stage": served,
        **more,
    }
    preview = Preview(scores, ())
    return Evaluation("rolling", 100, 300, queries, 1.0, rows, order=order, preview=preview, comparison=comparison)


def live(served=None, **data):
    """A live generation of the same dataset."""
    return LiveGeneration("g1", replace(DATA, **data), "rolling", served or row(0.2, 0.1, cold=0.2, new=0.2), SPREAD)


def lines(checks, *names):
    """The failed sentences. The checks `names` failed, and no others."""
    assert {each.name for each in checks if each.verdict == "failed"} == set(names)
    return failed(checks)


@pytest.mark.parametrize("metric", ["recall@10", "ndcg@10"])
def test_the_best_baseline_has_to_be_beaten_by_more_than_chance(metric):
    """Over many queries a lead of less than a standard error fails, in either metric."""
    noise = float(np.hypot(0.01, 0.01))
    for ours, fails in ((0.15 + noise + 1e-4, False), (0.15 + noise - 1e-4, True)):
        rival = row(0.1, 0.05) | {metric: 0.15}
        checks = check_model(evaluation(row(0.2, 0.1) | {metric: ours}, ease_decay=rival), DATA, None)
        sentences = lines(checks, *([f"{metric}, all queries, best baseline"] if fails else []))
    assert sentences == [
        f"{metric}, all queries: 0.1640, and the best baseline, ease_decay, has 0.1500; more than 0.1641 would pass, "
        "1 standard error of the difference above."
    ]


def test_few_queries_have_to_beat_popularity_and_may_tie_with_the_best():
    """With fewer than a thousand queries a tie with a personal baseline passes, a tie with popularity does not."""
    for popularity, best, fails in (
        (row(0.1, 0.05), row(0.21, 0.11), []),
        (row(0.1, 0.05), row(0.24, 0.11), ["best baseline"]),
        (row(0.2, 0.05), row(0.21, 0.11), ["recency_popularity"]),
        (row(0.2, 0.05), row(0.1, 0.05), ["best baseline"]),
    ):
        table = evaluation(row(0.2, 0.1, queries=500), popularity, ease_decay=best, queries=500)
        lines(check_model(table, DATA, None), *(f"recall@10, all queries, {name}" for name in fails))


def test_a_simple_order_in_place_of_a_ranker_may_tie():
    """With too little data to train a ranker, the best baseline may be ahead by noise, and by no more."""
    assert failed(check_model(evaluation(row(0.1, 0.05), order="popularity_decayed"), DATA, None)) == []
    (line,) = lines(
        check_model(evaluation(row(0.07, 0.05), order="popularity_decayed"), DATA, None),
        "recall@10, all queries, best baseline",
    )
    assert "too little data" in line


@pytest.mark.parametrize(("segment", "name"), [("cold", "cold users"), ("new", "new items")])
def test_a_segment_may_be_behind_by_noise_and_not_by_more(segment, name):
    """Cold users and new items fail only with enough queries, and more than two standard errors behind."""
    theirs = row(0.1, 0.05, **{segment: 0.15})
    noise = 2 * np.hypot(0.01, 0.01)
    for ours, fails in ((0.15 - noise + 0.001, False), (0.15 - noise - 0.001, True)):
        checks = check_model(evaluation(row(0.2, 0.1, **{segment: ours}), theirs), DATA, None)
        lines(checks, *([f"recall@10, {name}, best baseline"] if fails else []))
    few = check_model(evaluation(row(0.2, 0.1, **{segment: 0.0}, segment=199), theirs), DATA, None)
    assert failed(few) == []
    assert any(each.verdict == "not judged" and "199 queries" in each.sentence for each in few)
    nothing = check_model(evaluation(row(0.2, 0.1, **{segment: 0.0}), row(0.1, 0.05, **{segment: 0.0})), DATA, None)
    assert [each.verdict for each in nothing if each.name == f"recall@10, {name}, best baseline"] == ["not judged"]


def test_the_live_one_may_be_missed_by_the_tolerance_and_noise():
    """A tenth and two standard errors below the live generation pass, more fails; the sentence has all figures."""
    noise = 2 * np.hypot(0.01, 0.01)
    bound = 0.9 * 0.3 - noise
    theirs, before = row(0.3, 0.1, cold=0.2), live(row(0.9, 0.9, cold=0.9))

    def judged(ours):
        served = row(0.2, 0.1, cold=0.2)
        return check_model(evaluation(served, comparison=Comparison("g1", ours, theirs)), DATA, before)

    assert failed(judged(row(bound + 1e-4, 0.1))) == []
    (line,) = lines(judged(row(bound - 1e-4, 0.1)), "recall@10, all queries, live")
    start = "recall@10, all queries: 0.2416, and live g1 has 0.3000 on 2,000 queries that neither learned from; 0.2417"
    assert line.startswith(start)
    (line,) = lines(judged(row(0.3, 0.1, cold=0.13)), "recall@10, cold users, live")
    assert "0.1300" in line
    assert "0.2000" in line


def test_figures_of_another_protocol_dataset_or_format_are_not_compared():
    """A generation that can't be compared with is named in a check that is not judged, and never fails."""
    bad = evaluation(row(0.12, 0.07))
    assert "recall@10, all queries, live" in {c.name for c in check_model(bad, DATA, live()) if c.verdict == "failed"}
    assert failed(check_model(bad, DATA, replace(live(), protocol="loo"))) == []
    for other, words in (
        (live(name="films", rows=10**6), "was made from films, this run from shop"),
        (replace(live(rows=10**6), format=1), f"has format 1, this run makes format {FORMAT}"),
    ):
        assert failed(check_model(bad, DATA, other)) == []
        checks = check_data(DATA, other)
        assert failed(checks) == []
        (note,) = [each for each in checks if "live g1" in each.sentence]
        assert (note.verdict, note.sentence) == ("not judged", f"live g1 {words}: nothing to compare with.")


@pytest.mark.parametrize("what", ["rows", "users", "items"])
def test_sizes_may_move_between_half_and_three_times(what):
    """A tenth of the rows is refused with both figures; so are more than three times as many."""
    before = getattr(DATA, what)
    for share, fails in ((0.1, True), (0.49, True), (0.5, False), (3.0, False), (3.1, True)):
        ours = int(before * share)
        sentences = lines(check_data(replace(DATA, **{what: ours}), live()), *([what] if fails else []))
        assert not fails or sentences[0].startswith(f"{what}: {ours:,}, and live g1 has {before:,};")


def test_an_empty_column_is_refused_first_and_later():
    """No value at all is refused even where nothing is live; a fifth less than the live one and noise passes."""
    assert (
        "column genre: 0.0% of 300" in lines(check_data(replace(DATA, filled={"genre": 0.0}), None), "column genre")[0]
    )
    for share, fails in ((0.0, True), (0.65, True), (0.69, False), (1.0, False)):
        ours = replace(DATA, filled={"genre": share, "available": 1.0})
        sentences = lines(check_data(ours, live()), *(["column genre"] if fails else []))
        assert not fails or "live g1 has 90.0%" in sentences[0]
    gone = replace(DATA, filled={"available": 1.0})
    lines(check_data(gone, live()), "column genre")
    assert failed(check_data(replace(DATA, filled={"sold": 0.0, **DATA.filled}), live(filled={"sold": 0.0}))) == []


def test_scores_have_to_be_numbers_and_to_differ():
    """One broken query is too many; so are more than nine in ten queries with one score for all candidates."""
    for scores, name in ((replace(SPREAD, broken=1), "finite scores"), (replace(SPREAD, even=901), "different scores")):
        lines(check_model(evaluation(row(0.2, 0.1), scores=scores), DATA, None), f"{name}, tested")
        lines(check_trained(scores, *newest(0.3)), f"{name}, trained on everything")
    assert failed(check_trained(replace(SPREAD, even=900), *newest(0.3))) == []


def newest(ours, theirs=0.2):
    """The evaluation and the rows of the model to publish: the recall of its towers, and of the tested model's."""
    rows = {f"newest_{name}": value for name, value in row(theirs, theirs / 2).items()}
    rows |= {f"newest_se_{metric}": 0.01 for metric in ("recall@10", "ndcg@10")}
    return evaluation(rows, tower=rows), {"tower": row(ours, ours / 2), "two_stage": row(0.4, 0.2)}


@pytest.mark.parametrize(("high", "verdict"), [(-0.01, "failed"), (0.01, "passed"), (None, "not judged")])
def test_a_model_that_explored_slates_speak_against_is_refused(high, verdict):
    """If the interval of the difference to the logged policy is below 0; without an estimate nothing is judged."""
    found: Judgement | Refusal = Refusal("No slate explored.")
    if high is not None:
        one = Estimate(0.5, 0.4, 0.6, 0.05)
        found = Judgement(
            one, one, one, one, Estimate(high - 0.05, high - 0.1, high, 0.02), 1, Overlap((900.0,), (0.0,))
        )
    tested = replace(evaluation(row(0.3, 0.2)), policy=ArmJudgement(found, 900, 900, {"late": 3}))
    (made,) = [each for each in check_model(tested, DATA, None) if each.name == "explored slates"]
    assert made.verdict == verdict
    assert ("3 slates left out, late." in made.sentence) == (high is None)


def test_the_profile_counts_filled_cells():
    """Empty text, no categories, no number and not available are no values; an item only in the log has none."""
    table = pd.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "title": ["A", "", None, " "],
            "categories": [["x"], [], ["y", "z"], []],
            "year": [1990.0, np.nan, np.nan, np.nan],
            "available": [True, True, True, False],
        }
    )
    log = pd.DataFrame({"user_id": 1, "item_id": [*"abcdefgh"], "timestamp": np.arange(8.0)})
    data = replace(dataset(log), items=table)
    profile = DataProfile.of(data, encode(data))
    assert (profile.rows, profile.items, profile.described) == (8, 8, 4)
    assert profile.filled == {"title": 0.125, "categories": 0.25, "year": 0.125, "available": 0.875}
