"""Generated datasets: the same for the same seed, of the shape that was asked for, and with something to learn."""

from dataclasses import replace

import pandas as pd
import pytest

from recsys.errors import DatasetError
from training.data import generated_log
from training.data.dataset import read
from training.data.generated_log import SHAPES, Shape
from training.data.interaction_log import encode


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    """Two runs with one seed write the same files; another seed writes another log."""
    shape = Shape(2_000, 200)
    first, second, other = (
        generated_log.generate(shape, tmp_path / name, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    for file in ("interactions.parquet", "items.parquet", "dataset.toml"):
        assert (first / file).read_bytes() == (second / file).read_bytes()
    assert not read(first).interactions.equals(read(other).interactions)


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_is_what_it_says(tmp_path, name):
    """Three columns of text without an items table; sessions of 2 to 5; repeats that stay in; many items described."""
    shape = replace(SHAPES[name], interactions=5_000, items=1_000)
    dataset = read(generated_log.generate(shape, tmp_path))
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
            generated_log.generate(shape, tmp_path)
