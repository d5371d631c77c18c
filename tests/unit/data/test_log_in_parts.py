"""A log in Parquet files is read in parts, by each engine, as one table is read."""

from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest

from recsys.environment import Environment
from tests.unit.data.small_log import TOML
from training.encode.interaction_log import encode
from training.processes.engine import LOCAL, open_engine
from training.read import table_reader
from training.read.dataset import read

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
    monkeypatch.setattr(table_reader, "PART_ROWS", 200)
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
