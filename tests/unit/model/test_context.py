"""The context of a query: from the log's columns and the clock, through the spec, to the towers and the ranker."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from recsys.errors import DatasetError
from recsys.kernels import query_features, time_features
from recsys.model.context_lift import VALUES, table_columns
from recsys.model.event_types import SeenRule
from recsys.types import CLOCK
from tests.flows.ring_dataset import START, quick
from training import recipe
from training.config import RankerConfig
from training.encode.interaction_log import Log, encode
from training.encode.split import split
from training.fit.first_stage import fit_first_stage
from training.fit.item_tables import PRIOR, context_lift
from training.judge.ranking import metric_rows
from training.judge.replay import ReplayedModel
from training.read.dataset import Dataset, read

DEVICES = ("mobile", "desktop")
ITEMS = 40


def by_device(users: int = 150, steps: int = 12, name: str = "device") -> pd.DataFrame:
    """A log in which the device alone decides: items below 20 on a mobile, the others on a desktop."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(users):
        order = [rng.permutation(ITEMS // 2), ITEMS // 2 + rng.permutation(ITEMS // 2)]
        for step, at in enumerate(rng.integers(2, size=steps)):
            rows.append((user, order[at][step], START + step * 86_400 + rng.integers(86_000), DEVICES[at]))
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp", name])
    return frame.sort_values("timestamp", kind="stable", ignore_index=True).astype({"timestamp": "float64"})


def log_of(frame: pd.DataFrame, *columns: str) -> Log:
    """The frame as a log, `columns` being its context."""
    nothing = pd.DataFrame({"item_id": pd.Series(dtype="str")})
    frame = frame.assign(event_type="click").rename(columns={c: f"context.{c}" for c in columns})
    return encode(Dataset("by-device", frame, nothing, SeenRule(), context_columns=columns))


@pytest.fixture
def shop(tmp_path):
    """Write a small log and a mapping with some `context`, and return their folder."""

    def write(context, **columns):
        frame = by_device(4, 5).assign(**columns)
        frame.to_csv(tmp_path / "log.csv", index=False)
        (tmp_path / "dataset.toml").write_text(
            '[interactions]\nfile = "log.csv"\nuser_id = "user_id"\nitem_id = "item_id"\ntimestamp = "timestamp"\n'
            f"context = {context}\n"
        )
        return tmp_path

    return write


def test_the_clock_is_that_of_the_calendar():
    """Hour and weekday from 1, Monday first, in UTC, for any second."""
    times = np.random.default_rng(0).uniform(0, 4e9, 500)
    for time, (hour, weekday) in zip(times, time_features.clock(times).tolist(), strict=True):
        expected = datetime.fromtimestamp(time, UTC)
        assert (hour, weekday) == (expected.hour + 1, expected.isoweekday())


def test_an_unknown_context_column_is_an_error(shop):
    """The error names the column, the columns of the file and the fix."""
    with pytest.raises(DatasetError, match=r"'devise'.+device.+Set context"):
        read(shop('["devise"]'))


def test_the_query_before_an_event_has_its_context():
    """A history before an event has that event's context, its clock included; one at the end has none."""
    log = log_of(by_device(10, 6), "device")
    events = np.array([3, 17, 42])
    contexts = log.histories(events).context
    assert np.array_equal(contexts[:, :CLOCK], time_features.clock(log.times[events]))
    assert np.array_equal(contexts[:, CLOCK], log.contexts[events, 0])
    assert not contexts[:, CLOCK + 1 :].any()
    assert not log.final_histories(np.arange(10)).context.any()


def lifts(table, context, items):
    x = np.zeros((1, CLOCK + 1, len(items)), np.float32)
    columns, rows = table_columns(context[None], table.starts), items.astype(np.int32)[None]
    query_features.lifts(table.table, columns, rows, np.array([len(items)]), x, 0)
    return x[0]


def coarsely(context):
    """Quarter of the day, weekday or weekend, and the values of the columns with one place for all that are rare."""
    coarse = np.minimum(context, VALUES + 1)
    coarse[..., 0] = np.ceil(context[..., 0] / 6)
    coarse[..., 1] = np.where(context[..., 1] > 5, 2, np.minimum(context[..., 1], 1))
    return coarse


def test_lifts_are_shares_in_a_context_over_shares_of_all(monkeypatch):
    """The table equals a plain count for any block size. Rare values share a column."""
    frame = by_device(40, 10).assign(shop=np.arange(400) % 40 % 23)
    log = log_of(frame, "device", "shop")
    table = context_lift(log)
    monkeypatch.setattr("training.fit.item_tables.BLOCK", 7)
    np.testing.assert_allclose(context_lift(log).table, table.table, rtol=1e-5)
    items = np.arange(len(log.catalogue))
    assert np.diff(table.starts).tolist() == [4, 2, 2, VALUES + 1]
    for event in (5, 100, 333):
        context = log.context_of(np.array([event]))[0]
        all_rows = coarsely(log.context_of(np.arange(len(log))))
        expected = []
        for group, row in enumerate(coarsely(context)[:4]):
            there = all_rows[:, group] == row
            share = there.mean()
            taken, own = (np.bincount(log.items[chosen], minlength=len(items)) for chosen in (there, slice(None)))
            expected.append(np.log((taken + PRIOR * share) / ((own + PRIOR) * share)))
        found = lifts(table, context, items)
        np.testing.assert_allclose(found, [*expected[:2], np.mean(expected[2:], axis=0)], atol=1e-5)


def test_towers_and_ranker_use_the_context():
    """In a log where the device decides, both stages find more with the device than without."""
    log = log_of(by_device(400), "device")
    config = replace(quick(), ranker=RankerConfig(epochs=8, minimum=50))
    parts = split(log, config)
    taught = recipe.train_ranker(parts, recipe.TrainingRun(config))
    assert taught.order is None
    stage = fit_first_stage(parts.before_test, taught.with_epochs(config))
    both = ReplayedModel.of(parts.before_test, stage, taught.net, log).scores

    def tower(histories):
        return stage.encoder.encode(histories) @ stage.tables.embeddings.T

    def hiding(scorer):
        return lambda histories: scorer(replace(histories, context=np.zeros_like(histories.context)))

    scorers = {"tower": tower, "tower hidden": hiding(tower), "both": both, "both hidden": hiding(both)}
    rows = metric_rows(parts, lambda _: scorers)
    recall = {name: row["recall@10"] for name, row in rows.items()}
    for known in ("tower", "both"):
        assert recall[known] > 0.55
        assert recall[known] > recall[f"{known} hidden"] + 0.2
