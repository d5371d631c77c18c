"""Nothing leaks: where there is nothing to learn, nothing is found, in each protocol."""

from dataclasses import replace

import numpy as np
import pytest

from recsys.errors import DatasetError
from tests.flows.ring import log_of, quick, ring
from training import recipe
from training.__main__ import main
from training.evaluate import evaluate
from training.first_stage import fit_first_stage
from training.rows import stages
from training.split import PROTOCOLS, split

ITEMS = 40
CHANCE = 10 / ITEMS
LEARNED = ("item_knn", "ease_decay", "tower", "two_stage")


def rows_of(parts):
    """The metric table of a split, trained and tested."""
    return recipe.evaluate(parts, recipe.teach_ranker(parts, quick()), quick()).rows


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shuffled_items_leave_chance(protocol):
    """With the items shuffled over all events no model finds more than ten random items would."""
    frame = ring(users=300, items=ITEMS)
    frame["item_id"] = np.random.default_rng(5).permutation(frame["item_id"])
    rows = rows_of(split(log_of(frame, exclude_seen=False), quick(), protocol))
    for name in LEARNED:
        assert abs(rows[name]["recall@10"] - CHANCE) < 5 * rows[name]["se_recall@10"], name


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shuffled_targets_leave_chance(protocol):
    """Models that learned the ring find its next item, and no more than chance once the targets are shuffled."""
    parts = split(log_of(ring(users=200, items=ITEMS), exclude_seen=False), quick(), protocol)
    taught, stage = recipe.teach_ranker(parts, quick()), fit_first_stage(parts.before_test, quick()).stage
    items = parts.log.items.copy()
    items[parts.test] = np.random.default_rng(5).permutation(items[parts.test])
    shuffled = replace(parts, log=replace(parts.log, items=items))
    served = {"two_stage": stages(stage, stage.ranker(taught.net))["two_stage"]}
    found, chance = (evaluate(each, served)["two_stage"] for each in (parts, shuffled))
    assert found["recall@10"] > 0.6
    assert abs(chance["recall@10"] - CHANCE) < 5 * chance["se_recall@10"]


def test_no_model_is_fitted_on_what_it_is_asked(monkeypatch):
    """First stages and baselines get the parts that end before what is asked of them, and nothing else."""
    parts = split(log_of(ring()), quick(), "loo")
    seen = []
    for step in ("fit_first_stage", "baselines"):
        inner = getattr(recipe, step)
        monkeypatch.setattr(recipe, step, lambda log, *rest, inner=inner: seen.append(log) or inner(log, *rest))
    rows_of(parts)
    assert [len(log) for log in seen] == [parts.taught.sum(), parts.known.sum(), parts.known.sum()]
    assert seen[0] is parts.before_labels
    assert all(log is parts.before_test for log in seen[1:])


def test_a_test_that_lies_before_the_split_is_refused_on_the_command_line(tmp_path, capsys):
    """A dataset whose every event came before the stated test says so in a sentence and exits with 1."""
    folder = tmp_path / "ring"
    folder.mkdir()
    ring().to_csv(folder / "log.csv", index=False)
    (folder / "dataset.toml").write_text(
        '[interactions]\nfile = "log.csv"\nuser_id = "user_id"\nitem_id = "item_id"\ntimestamp = "timestamp"\n'
        "[evaluation]\ntest_from = 2026-01-01\n"
    )
    assert main(["evaluate", "--data", str(folder)]) == 1
    assert "2026-01-01" in capsys.readouterr().err
    assert main(["evaluate", "--data", str(folder), "--protocol", "loo", "--test-from", "2023-11-20"]) == 1
    assert "loo" in capsys.readouterr().err
    assert main(["evaluate", "--data", str(folder), "--test-from", "soon"]) == 1
    assert "--test-from is a date" in capsys.readouterr().err


def test_models_that_saw_the_test_are_refused():
    """A split whose models would know the test is not one: it can't be made."""
    parts = split(log_of(ring()), quick())
    with pytest.raises(DatasetError, match="asked for what they were told"):
        replace(parts, known=np.ones_like(parts.known), labels=parts.labels)


def test_what_occurs_only_in_the_test_is_unknown_to_every_source():
    """Other items in the test leave candidates as they are: what will occur is no reason to bring an item."""
    log = log_of(ring(users=200, items=ITEMS))
    parts = split(log, quick(), "rolling")
    stage = fit_first_stage(parts.before_test, quick()).stage
    later = parts.log.items.copy()
    later[~parts.known] = ITEMS - 1 - later[~parts.known]
    other = replace(parts, log=replace(parts.log, items=later))
    again = fit_first_stage(other.before_test, quick()).stage
    histories, _ = parts.past(parts.test[:50])
    one, two = stage.retriever.retrieve(histories), again.retriever.retrieve(histories)
    np.testing.assert_array_equal(one.items, two.items)
    np.testing.assert_array_equal(one.sources, two.sources)
