"""Skew: logged features of made-up requests, and the same from the events that the store has."""

import numpy as np
import pandas as pd
import pytest

from recsys.model.features import names
from recsys.types import HISTORY_LENGTH, Event
from training.drift.recomputed_features import LEAST_ROWS, recomputed, skew_of
from training.judge.replay import ReplayedModel
from training.read.impressions import columns_of

ROWS, NOW = LEAST_ROWS + 20, 1.7e9


def events(user, count):
    """Events a minute apart, the newest a minute ago."""
    return [Event(user, f"drama-{(user + at) % 25}", NOW - 60.0 * (count - at), "interaction") for at in range(count)]


@pytest.fixture(scope="module")
def generation(tiny_world):
    return ReplayedModel.load(tiny_world[0])


def logged(generation, of_users):
    """Rows as they are logged if the store has these events."""
    named = {"item_id": [f"comedy-{at % 25}" for at in range(ROWS)], "sources": "tower,ease", "context": "{}"}
    rows = pd.DataFrame(named).assign(asked=NOW, user_id=range(ROWS))
    features = np.concatenate(
        [recomputed(generation, rows[at : at + 1], [None], of_users[at : at + 1]) for at in range(ROWS)]
    )
    return pd.concat([rows, pd.DataFrame(features, columns=columns_of(names(generation.generation.spec)))], axis=1)


@pytest.mark.parametrize("count", [5, HISTORY_LENGTH + 20])
def test_events_that_arrived_late_are_no_skew(generation, count):
    """Also of a user whose history is full, so that its length stays the same; later events do not matter."""
    of_users = [events(user, count) for user in range(ROWS)]
    rows = logged(generation, of_users)
    later = [[*each, Event(user, "drama-3", NOW + 9.0, "interaction")] for user, each in enumerate(of_users)]
    skew = skew_of(generation, rows, [None] * ROWS, later)
    assert (skew.rows, skew.alarms) == (ROWS, [])
    missed = [each if user % 10 else each[:-1] for user, each in enumerate(of_users)]
    skew = skew_of(generation, logged(generation, missed), [None] * ROWS, of_users)
    assert (skew.rows, skew.other_history, skew.gone) == (ROWS * 9 // 10, ROWS // 10, 0)
    assert max(skew.shares.values()) == 0


def test_wrong_values_are_named_and_items_that_are_gone_are_counted(generation):
    """Two rows of 119 are more than a hundredth, and one row is less."""
    of_users = [events(user, 5) for user in range(ROWS)]
    rows = logged(generation, of_users)
    rows.loc[:1, "feature.age"] += 0.5
    rows.loc[2, "feature.like_1"] += 0.5
    rows.loc[3, "item_id"] = "gone-1"
    skew = skew_of(generation, rows, [None] * ROWS, of_users)
    assert (skew.rows, skew.gone, skew.alarms) == (ROWS - 1, 1, ["feature.age"])
    assert 0 < skew.shares["feature.like_1"] < 0.01
    assert "feature.age (1.7%)" in skew.sentence
    few = skew_of(generation, rows[: LEAST_ROWS - 1], [None] * (LEAST_ROWS - 1), of_users[: LEAST_ROWS - 1])
    assert few.sentence == f"Features were not recomputed: {LEAST_ROWS - 2} rows could be, and {LEAST_ROWS} are needed."
