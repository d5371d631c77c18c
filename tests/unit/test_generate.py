"""Generated datasets: the same for the same seed, of the shape that was asked for, and with something to learn."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recsys.errors import DatasetError
from training import generate
from training.dataset import read
from training.generate import SHAPES, Shape
from training.log import encode


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    """Two runs with one seed write the same files; another seed writes another log."""
    shape = Shape(2_000, 200)
    first, second, other = (
        generate.generate(shape, tmp_path / name, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    for file in ("interactions.parquet", "items.parquet", "dataset.toml"):
        assert (first / file).read_bytes() == (second / file).read_bytes()
    assert not read(first).interactions.equals(read(other).interactions)


def test_the_log_is_as_long_as_asked_however_it_is_cut_into_blocks(tmp_path, monkeypatch):
    """A log of many small blocks has exactly the events, users of their own in each block, and no event twice."""
    monkeypatch.setattr(generate, "BLOCK", 500)
    log = read(generate.generate(Shape(3_210, 300), tmp_path)).interactions
    assert len(log) == 3_210
    assert not log.duplicated(["user_id", "item_id"]).any()
    assert log["user_id"].nunique() > 50


def test_popularity_and_activity_have_long_tails(tmp_path):
    """A tenth of the items has three in ten of the events or more, and the busiest user five times the median's."""
    log = read(generate.generate(Shape(50_000, 1_000), tmp_path)).interactions
    items = log["item_id"].value_counts()
    assert items.iloc[:100].sum() > 0.3 * len(log)
    events = log["user_id"].value_counts()
    assert events.max() > 5 * events.median()


def test_what_comes_next_can_be_learned(tmp_path):
    """Most events are the item after, or one of the two behind it, of the same user's event before."""
    log = read(generate.generate(Shape(20_000, 500, repeats=0.01), tmp_path)).interactions
    number = log["item_id"].str.removeprefix("item-").astype(int)
    step = number.groupby(log["user_id"]).diff() % 500
    assert 0.4 < step.between(1, 3).mean() < 0.8


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_is_what_it_says(tmp_path, name):
    """Three columns of text without an items table; sessions of 2 to 5; repeats that stay in; many items described."""
    shape = replace(SHAPES[name], interactions=5_000, items=1_000)
    dataset = read(generate.generate(shape, tmp_path))
    log = dataset.interactions
    sizes = log["user_id"].value_counts()
    again = log.duplicated(["user_id", "item_id"]).mean()
    assert pd.api.types.is_string_dtype(log["user_id"])
    assert pd.api.types.is_string_dtype(log["item_id"])
    assert len(dataset.items) == (0 if name == "plain" else 1_000)
    assert dataset.exclude_seen.excludes == (name != "repeats")
    assert (again > 0.3) == (name == "repeats")
    if name == "sessions":
        assert sizes.max() <= 5
        assert 2.5 < sizes.mean() < 4
    encode(dataset)


def test_a_dataset_of_nothing_is_refused(tmp_path):
    """No interactions, or too few items for a category, are said in a sentence."""
    for shape in (Shape(0, 100), Shape(100, 1)):
        with pytest.raises(DatasetError, match="at least 1 interaction and 4 items"):
            generate.generate(shape, tmp_path)


def test_times_lie_in_the_past_and_in_order_for_each_user(tmp_path):
    """Rows of a user stand in order of time, within 180 days of the start."""
    raw = pd.read_parquet(generate.generate(Shape(5_000, 500), tmp_path) / "interactions.parquet")
    assert raw["timestamp"].between(generate.START, generate.START + 180 * 86_400).all()
    assert (raw.groupby("user_id")["timestamp"].diff().fillna(0) >= 0).all()
    assert np.issubdtype(raw["timestamp"].dtype, np.integer)
