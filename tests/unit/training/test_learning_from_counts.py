"""The ranker learns from event counts, where many users take the same item within an hour."""

from dataclasses import replace

import numpy as np
import pandas as pd

from recsys.kernels.recent_events import NO_EVENTS
from tests.flows.ring_dataset import START, log_of, quick
from training import recipe
from training.config import RankerConfig
from training.encode.split import split
from training.fit.first_stage import fit_first_stage
from training.judge.ranking import metric_rows
from training.judge.replay import ReplayedModel

HOURS, EVENTS, USERS, ITEMS = 240, 20, 400, 60


def bursts():
    """A log in which one item has two thirds of an hour's events."""
    rng = np.random.default_rng(0)
    hours = np.repeat(np.arange(HOURS), EVENTS)
    hot, other = rng.integers(0, ITEMS, HOURS)[hours], rng.integers(0, ITEMS, len(hours))
    items = np.where(rng.random(len(hours)) < 2 / 3, hot, other)
    times = START + 3_600 * hours + rng.integers(0, 3_600, len(hours))
    users = rng.integers(0, USERS, len(hours))
    return pd.DataFrame({"user_id": users, "item_id": items, "timestamp": times}).sort_values("timestamp")


def test_the_item_of_the_hour_is_ranked_first():
    """With the counts; without them the same ranker does not find the item."""
    log = log_of(bursts(), exclude_seen=False)
    towers = replace(quick().tower, epochs=4)  # all items are candidates
    config = replace(quick(), tower=towers, ranker=RankerConfig(epochs=8, minimum=50, doubtful=0))
    parts = split(log, config)
    taught = recipe.train_ranker(parts, recipe.TrainingRun(config))
    stage = fit_first_stage(parts.before_test, taught.with_epochs(config))
    counts = ReplayedModel.of(parts.before_test, stage, taught.net, log)
    none = replace(counts, ranker=counts.ranker.counting(NO_EVENTS))
    rows = metric_rows(parts, lambda _: {"counts": counts.scores, "none": none.scores})
    assert rows["counts"]["ndcg@10"] > rows["none"]["ndcg@10"] + 0.2, rows
