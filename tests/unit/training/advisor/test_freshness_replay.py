"""The replay of `python -m training advise`: its queries know what they may know, and times that are days judge no
age below a day. tests/skew/test_replay.py compares its slates with those of a deployment.
"""

from dataclasses import replace

import numpy as np
import pytest

from recsys.types import CLOCK
from tests.sample_data import planted_taste
from training.advisor.drawn_queries import draw_queries
from training.advisor.replay import AGES, Replay, curves_of
from training.config import TrainingConfig
from training.encode.interaction_log import DAY, encode
from training.encode.split import split
from training.judge.replay import ReplayedModel
from training.judge.replayed_queries import ReplayedQueries
from training.read import dataset

HOUR = 3_600.0
USERS = [3, 4, 10, 23, 57, 101]
"""Of the tiny dataset; user ids are the rows of the log in another order."""


class World:
    """The replay over one generation; each user of USERS has three clicks and then a query."""

    def __init__(self, folder, log):
        row_of, end = {user: row for row, user in enumerate(log.user_ids.tolist())}, log.end + DAY
        steps = (1 * HOUR, 7.5 * HOUR, 7.9 * HOUR, 8 * HOUR)
        events = [(row_of[user], 7 * n + user, end + step) for n, step in enumerate(steps) for user in USERS]
        users, items, times = zip(*events, strict=True)
        self.log = replace(
            log,
            users=np.append(log.users, np.array(users, np.int32)),
            items=np.append(log.items, np.array(items, np.int32) % len(log.catalogue)),
            times=np.append(log.times, times),
            types=np.append(log.types, np.zeros(len(events), np.uint8)),
            contexts=np.append(log.contexts, np.ones((len(events), log.contexts.shape[1]), np.uint8), axis=0),
            weights=np.append(log.weights, np.ones(len(events), np.float32)),
        )
        at = len(self.log) - len(USERS) + np.arange(len(USERS))
        queries = ReplayedQueries(self.log, at, self.log.items[at], {})
        models = ReplayedModel.load(folder)
        self.replay = Replay.of(queries, models)


@pytest.fixture(scope="module")
def world(tiny_world):
    return World(*tiny_world)


def test_a_query_reads_the_history_of_its_age_and_hides_every_seen_item(world):
    """The clicks are 7 hours, 30 minutes and 6 minutes before the query; its items are hidden at once."""
    queries, known = world.replay.queries, world.replay.known
    for age in AGES[1:]:
        moment = queries.moments(age)
        assert (moment <= queries.times).all()
        assert (queries.times - moment < age).all()
        later = sum((queries.times - back >= moment).astype(int) for back in (7 * HOUR, 0.5 * HOUR, 0.1 * HOUR))
        assert (known[age] == known[0.0] - later).all()
    assert len({known[age][0] for age in AGES}) > 1
    old, new = world.replay.query(0, history=DAY), world.replay.query(0)
    assert len(old.history[0]) < len(new.history[0])
    assert set(old.seen.tolist()) == set(new.seen.tolist())
    assert (old.context == world.log.context_of(queries.at[:1])[0, CLOCK:]).all()


@pytest.mark.parametrize("days_alone", [False, True])
def test_ages_below_a_day_are_judged_by_exact_times_alone(tmp_path, days_alone):
    """Times that are days are found out; the mapping may say it of others."""
    folder = planted_taste.write(tmp_path, turns=False, days_alone=days_alone)
    table = dataset.read(folder)
    assert table.exact_times is not days_alone
    mapping = folder / "dataset.toml"
    mapping.write_text(mapping.read_text().replace("[items]", "exact_times = false\n[items]"))
    assert not dataset.read(folder).exact_times
    queries = draw_queries(split(encode(table), TrainingConfig()), 50)
    places = np.arange(len(queries)) % 12
    curves = curves_of("list", dict.fromkeys(AGES, places), places, queries, table.exact_times)
    for curve in curves:
        assert curve.judged == (True, *[not days_alone] * 4, True)
        assert curve.recall.paired_loss == (0.0,) * len(AGES)
