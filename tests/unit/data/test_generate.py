"""`python -m training generate`: the same data for the same seed, and shapes with the properties of their names."""

import pandas as pd
import pytest

from training.__main__ import main
from training.encode.interaction_log import encode
from training.generated_log import SHAPES
from training.read.dataset import read


def generate(folder, *options):
    """Write a dataset of 5,000 events and 1,000 items with the command."""
    sizes = ["--interactions", "5k", "--items", "1k"]
    assert main(["generate", "--out", str(folder), *sizes, *options]) == 0
    return folder


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    """Two runs with one seed write the same files; another seed writes another log."""
    first, second, other = (
        generate(tmp_path / name, "--shape", "wide", "--seed", seed)
        for name, seed in (("a", "1"), ("b", "1"), ("c", "2"))
    )
    for file in ("interactions.parquet", "items.parquet", "dataset.toml"):
        assert (first / file).read_bytes() == (second / file).read_bytes()
    assert not read(first).interactions.equals(read(other).interactions)


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_has_its_properties(tmp_path, name):
    """Three columns of text without an items table; sessions of 2 to 5; repeats that stay in; many items described."""
    dataset = read(generate(tmp_path, "--shape", name))
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
    assert len(encode(dataset)) <= 5_000
