"""No leak from the test into the models: where nothing can be learned, recall is that of chance."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from recsys.model.towers import Towers
from tests.flows.ring_dataset import log_of, quick, ring
from training import recipe
from training.__main__ import main
from training.encode.protocols import PROTOCOLS
from training.encode.split import split
from training.fit.first_stage import fit_first_stage
from training.fit.validation import tower_validation
from training.judge.ranking import metric_rows
from training.judge.replay import ReplayedModel

ITEMS = 40
CHANCE = 10 / ITEMS
RUN = recipe.TrainingRun(quick())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shuffled_targets_leave_chance(protocol):
    """Models that learned the ring find its next item, and no more than chance once the targets are shuffled."""
    parts = split(log_of(ring(users=200, items=ITEMS), exclude_seen=False), quick(), protocol)
    fit, stage = recipe.train_ranker(parts, RUN), fit_first_stage(parts.before_test, quick())
    items = parts.log.items.copy()
    items[parts.test] = np.random.default_rng(5).permutation(items[parts.test])
    shuffled = replace(parts, log=replace(parts.log, items=items))
    served = {"two_stage": ReplayedModel.of(parts.before_test, stage, fit.net, parts.log).scores}
    found, chance = (metric_rows(each, lambda _: served)["two_stage"] for each in (parts, shuffled))
    assert found["recall@10"] > 0.6
    assert abs(chance["recall@10"] - CHANCE) < 5 * chance["se_recall@10"]


def _noted(seen, inner, log, *rest, **named):
    seen.append(log)
    return inner(log, *rest, **named)


def test_no_model_is_fitted_on_its_test(monkeypatch):
    """First stages and baselines get the events before their labels or test, and nothing else."""
    parts = split(log_of(ring()), quick(), "loo")
    seen = []
    for step in ("fit_first_stage", "baselines"):
        inner = getattr(recipe, step)
        monkeypatch.setattr(recipe, step, partial(_noted, seen, inner))
    recipe.evaluate(parts, recipe.train_ranker(parts, RUN), RUN)
    assert [len(log) for log in seen] == [parts.tower_events.sum(), parts.model_events.sum(), parts.model_events.sum()]
    assert seen[0] is parts.before_labels
    assert all(log is parts.before_test for log in seen[1:])


def test_the_choice_of_the_epoch_does_not_depend_on_the_items_of_the_test():
    """The validation of towers is the same with and without a test item that no earlier event names."""
    frame = ring()
    frame.loc[frame.index[-40:], "item_id"] = ITEMS  # in the test alone
    named = split(log_of(frame), quick())
    items = named.log.items.copy()
    items[named.test] = items[0]
    unnamed = replace(named, log=replace(named.log, items=items))
    assert (named.ranked & ~unnamed.ranked).any()
    torch.manual_seed(0)
    spec, size = named.log.catalogue.spec, len(named.log.catalogue)
    towers = Towers(size, len(spec.tokens), 1, 16, 32, [])
    first, second = (tower_validation(parts, seed=0) for parts in (named, unnamed))
    assert first(towers) == second(towers)
    assert first.key == second.key


def test_a_test_without_events_is_refused_on_the_command_line(tmp_path, capsys):
    """A test after the last event, a date for loo and a wrong date each get a sentence and exit code 1."""
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
