"""A log in Parquet files is read in parts, by each engine, as one table is read."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recsys.environment import Environment
from recsys.errors import DatasetError
from tests.sample_data.shown_slates import slates, take, write
from tests.unit.data.small_log import TOML
from training.data import impressions
from training.data.dataset import read
from training.data.interaction_log import encode
from training.data.reading import parquet_parts
from training.processes.engine import LOCAL, open_engine

MORE = """event_type = "kind"
value = "worth"
context = ["device"]
[events]
negative = ["refund"]
ignored = ["scroll"]
weights = { view = 1, buy = 3, interaction = 1 }
weigh_by_value = ["buy"]
[items]
file = "items.csv"
item_id = "what"
"""


@pytest.fixture(scope="module", params=["this process", "Dask"])
def engine(request, tmp_path_factory):
    """Both engines, the second with two workers."""
    if request.param == "Dask":
        pytest.importorskip("distributed", reason="the extra dask")
        opened = open_engine(Environment(tmp_path_factory.mktemp("home"), None, dask="2"))
    else:
        opened = nullcontext(LOCAL)
    with opened as engine:
        yield engine


def odd_log(count=3_000):
    """A log with repeats, ties, bad rows, bad values and missing cells, of text alone."""
    draw = np.random.default_rng(0)
    log = pd.DataFrame(
        {
            "who": [f"u{user}" for user in draw.integers(0, 300, count)],
            "what": [f"i{item}" for item in draw.zipf(1.5, count).clip(max=90)],
            "when": [f"2026-09-{day:02}T10:{minute:02}:00Z" for day, minute in draw.integers(1, 28, (count, 2))],
            "kind": draw.choice(["view", "buy", "refund", "scroll", ""], count),
            "worth": draw.choice(["1.5", "20", "", "dear"], count, p=[0.4, 0.3, 0.2, 0.1]),
            "device": draw.choice(["phone", "desk", ""], count),
        }
    )
    log.loc[100:140, "who"], log.loc[1_500, "what"], log.loc[[7, 2_222], "when"] = " ", "", "soon"
    return pd.concat([log, log[::50]], ignore_index=True)


def written(folder, log, file):
    """A dataset of the log in one CSV, or in three Parquet files of other row groups and types."""
    (folder / "log").mkdir(parents=True)
    (folder / "dataset.toml").write_text(TOML.format(file=file) + MORE)
    pd.DataFrame({"what": [f"i{item}" for item in range(1, 60)]}).to_csv(folder / "items.csv", index=False)
    if file == "log.csv":
        log.to_csv(folder / file, index=False)
    else:
        log[:1_000].to_parquet(folder / "log" / "a.parquet", row_group_size=90)
        log[1_000:2_900].replace("", None).to_parquet(folder / "log" / "b.parquet")
        rest = log[2_900:].astype({"who": "category", "kind": "category"})
        rest.to_parquet(folder / "log" / "c.parquet", row_group_size=40)
    return folder


class OtherHost:
    """An engine whose workers find no file of this host."""

    def with_access_to(self, location):
        """As `Engine` describes."""
        assert location.startswith("/")
        return LOCAL


def test_parts_give_the_log_of_one_table(engine, tmp_path, monkeypatch):
    """The same events, ids, types, contexts, weights, notes and quarantine; progress counts the parts."""
    monkeypatch.setattr(parquet_parts, "PART_ROWS", 200)
    log, shown = odd_log(), []
    whole = read(written(tmp_path / "whole" / "shop", log, "log.csv"), tmp_path / "one")
    folder = written(tmp_path / "parts" / "shop", log, "log/")
    parts = read(folder, tmp_path / "some", None, engine, lambda *progress: shown.append(progress))
    one, some = encode(whole), encode(parts)
    for name in ("users", "items", "times", "types", "contexts", "weights", "user_ids"):
        np.testing.assert_array_equal(getattr(some, name), getattr(one, name), name)
    assert some.catalogue.ids.tolist() == one.catalogue.ids.tolist()
    assert some.catalogue.spec == one.catalogue.spec
    assert parts.notes.set_aside == whole.notes.set_aside
    assert parts.notes.duplicates == whole.notes.duplicates > 0
    assert len(whole.notes.set_aside) == 4
    for file in ("interactions", "interactions-values-worth"):
        expected, found = (pd.read_csv(tmp_path / name / f"{file}.csv", dtype=str) for name in ("one", "some"))
        pd.testing.assert_frame_equal(found, expected)
    assert shown[-1] == (1.0, f"part {len(shown)} of {len(shown)}")
    assert len(shown) == 6
    assert len(read(folder, engine=OtherHost()).interactions) == len(whole.interactions)


def test_files_of_impressions_are_read_by_each_engine(engine, tmp_path):
    """The newest slates, in the order of the files; reading stops when there are enough."""
    rows = slates(60, (1_700_000_000.0, 1_700_000_600.0))
    take(rows, np.arange(len(rows)) % 3 == 0)
    groups = [part for _, part in rows.groupby(rows["impression"].str[-1])]
    files = [write(tmp_path / str(number), part) for number, part in enumerate(groups)]
    wanted = impressions.WantedSlates("ring", lambda name: 1.0, 1_800_000_000.0, 1_000)
    for each in (wanted, replace(wanted, most=15)):
        expected, found = impressions.read(files, each), impressions.read(files, each, engine)
        assert len(impressions.read(files, each, OtherHost())) == len(expected)
        assert 0 < len(found) == len(expected)
        np.testing.assert_array_equal(found.features, expected.features)
        np.testing.assert_array_equal(found.grades, expected.grades)
        assert found.left_out == expected.left_out


def test_a_folder_without_files_is_named(tmp_path):
    """An empty folder, as of an export that has not run, is a sentence."""
    folder = written(tmp_path / "shop", odd_log(), "log/")
    for file in (folder / "log").iterdir():
        file.unlink()
    with pytest.raises(DatasetError, match="log, which has no Parquet files"):
        read(folder, tmp_path / "home")
