"""Impressions become training rows: labels, files that a kill leaves right, and the loader that reads them."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows.drain import drain_some
from flows.impression_rows import SCHEMA, taken_after
from recsys.errors import DatasetError
from recsys.features import FEATURES
from recsys.impression import Impression
from recsys.store import MemoryStore
from recsys.types import Event, Source
from training import impressions
from training.locations import Location

WAIT, WIDTH = 600.0, len(FEATURES)
NOON = time.time() // 86_400 * 86_400 + 43_200
"""Of a day: an hour before and after it belong to the same one."""


def shown(user="7", at=NOON, items=("a", "b", "c"), width=WIDTH):
    """A slate whose features are numbered."""
    n = len(items)
    features = np.arange(n * width, dtype=np.float32).reshape(n, width)
    sources = np.full(n, Source.TOWER | Source.EASE, np.uint16)
    places, scores = np.arange(n, dtype=np.int16), -np.arange(n, dtype=np.float32)
    return Impression("g1", user, at, at - 0.01, "realtime", list(items), places, scores, sources, features)


@pytest.fixture
def store():
    return MemoryStore(1e12)


def log(store, *slates):
    packed = [("?", slate) if isinstance(slate, bytes) else (slate.user_id, slate.pack()) for slate in slates]
    asyncio.run(store.add_impressions(packed))


def act(store, *events):
    asyncio.run(store.add_events(events))


def drained(store, folder, later=3600.0):
    done = drain_some.fn(store, Location(str(folder)), WAIT, time.time() + later)
    return replace(done, files=[*map(Path, done.files)])


class TestLabels:
    def test_what_was_done_within_the_wait(self):
        """From the slate's moment to the wait's end; the first of two actions names the label."""
        done = [
            Event("7", "early", NOON - 1, "click"),
            Event("7", "a", NOON, "click"),
            Event("7", "a", NOON + 9, "purchase"),
            Event("7", "b", NOON + WAIT, "purchase"),
            Event("7", "late", NOON + WAIT + 1, "click"),
        ]
        assert taken_after(shown(), done, WAIT) == {"a": "click", "b": "purchase"}

    def test_a_moment_in_whole_seconds(self):
        """Such a one counts from its slate's second on; one told finer is known to be before its slate."""
        done = [
            Event("7", "c", NOON - 1, "click"),
            Event("7", "a", NOON, "click"),
            Event("7", "b", NOON + 0.2, "click"),
        ]
        assert taken_after(shown(at=NOON + 0.3), done, WAIT) == {"a": "click"}

    def test_a_row_for_each_item_shown(self, store, tmp_path):
        """With its place, score, sources, features and label; ids of any kind as text."""
        log(store, shown(user=7, items=(1, 2, 3)))
        act(store, Event("7", "2", NOON + 5, "purchase"), Event("8", "1", NOON + 5))
        done = drained(store, tmp_path)
        assert (done.impressions, done.rows, done.taken, done.damaged, done.waiting) == (1, 3, 1, 0, 0)
        table = pq.read_table(done.files[0], partitioning=None)
        assert table.schema.equals(SCHEMA)
        told = table.to_pandas()
        assert told["item_id"].tolist() == ["1", "2", "3"]
        assert told["user_id"].unique().tolist() == ["7"]
        assert told["label"].tolist() == [False, True, False]
        assert table["event_type"].to_pylist() == [None, "purchase", None]
        assert told["place"].tolist() == [0, 1, 2]
        assert told["sources"].unique().tolist() == ["tower,ease"]
        assert told[f"feature.{FEATURES[1]}"].tolist() == [1.0, 1.0 + len(FEATURES), 1.0 + 2 * len(FEATURES)]


class TestFiles:
    def test_a_file_for_each_day(self, store, tmp_path):
        """Whatever was drained together."""
        log(store, shown(at=NOON - 86_400), shown(at=NOON))
        files = drained(store, tmp_path).files
        days = [time.strftime("date=%Y-%m-%d", time.gmtime(at)) for at in (NOON - 86_400, NOON)]
        assert [file.parent.name for file in files] == days
        assert [pq.read_metadata(file).num_rows for file in files] == [3, 3]

    def test_what_is_young_waits(self, store, tmp_path):
        """Until its wait is over nothing is written of it, nor lost."""
        log(store, shown())
        done = drained(store, tmp_path, later=WAIT - 60)
        assert (done.impressions, done.waiting, done.files) == (0, 1, [])
        assert drained(store, tmp_path, later=WAIT + 60).impressions == 1
        assert drained(store, tmp_path).impressions == 0
        assert store.read_impressions() == []

    def test_killed_between_writing_and_letting_go(self, store, tmp_path, monkeypatch):
        """The next run writes the same file once more, with what ripened meanwhile: no slate twice, none lost."""
        log(store, shown("7"))
        with monkeypatch.context() as killed:
            killed.setattr(store, "drop_impressions", lambda entries: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                drained(store, tmp_path)
        log(store, shown("8"))
        done = drained(store, tmp_path)
        assert done.impressions == 2
        assert list(tmp_path.rglob("*.parquet")) == done.files
        assert pq.read_table(done.files[0], partitioning=None)["user_id"].to_pylist() == ["7"] * 3 + ["8"] * 3

    def test_killed_while_writing(self, store, tmp_path, monkeypatch):
        """Half a file has no name that a reader would find, and its slates are still there."""
        log(store, shown())

        def half(table, file):
            file.write_bytes(b"PAR1")
            raise OSError("killed")

        with monkeypatch.context() as killed:
            killed.setattr(pq, "write_table", half)
            with pytest.raises(OSError, match="killed"):
                drained(store, tmp_path)
        assert list(tmp_path.rglob("[!.]*.parquet")) == []
        assert drained(store, tmp_path).impressions == 1

    def test_what_can_t_be_read_is_counted_and_gone(self, store, tmp_path):
        """Damaged, of a ranker with other features, empty, or of text that no file can hold: no sound one waits."""
        broken = bytearray(shown().pack())
        broken[-1] ^= 1
        log(store, bytes(broken), b"", shown(width=3), shown(items=()), shown(user="\ud800"), shown("sound"))
        done = drained(store, tmp_path)
        assert (done.impressions, done.damaged, done.waiting) == (1, 5, 0)
        assert store.read_impressions() == []


class TestLoader:
    def test_features_labels_and_slates(self, store, tmp_path):
        """As the ranker's training takes them; slates of several files are numbered through."""
        log(store, shown(at=NOON - 86_400, items=("a", "b")), shown(items=("a", "b", "c")), shown("8", items=("d",)))
        act(store, Event("7", "c", NOON + 1))
        read = impressions.read(drained(store, tmp_path).files)
        assert len(read) == 6
        assert read.features.dtype == np.float32
        np.testing.assert_array_equal(read.features[:2], shown(items=("a", "b")).features)
        assert read.labels.tolist() == [False, False, False, False, True, False]
        assert read.slates.tolist() == [0, 0, 1, 1, 1, 2]

    def test_a_slate_in_two_files_counts_once(self, store, tmp_path, monkeypatch):
        """As a drain that was killed leaves it, where the first slate's user was forgotten before the next."""
        log(store, shown("7"), shown("8"))
        with monkeypatch.context() as killed:
            killed.setattr(store, "drop_impressions", lambda entries: None)
            drained(store, tmp_path)
        asyncio.run(store.forget_impressions("7"))
        drained(store, tmp_path)
        files = list(tmp_path.rglob("*.parquet"))
        assert [pq.read_metadata(file).num_rows for file in sorted(files)] == [6, 3]
        assert impressions.read(files).slates.tolist() == [0, 0, 0, 1, 1, 1]

    def test_other_features_are_refused(self, store, tmp_path):
        """By the name of what differs; a file that is no Parquet, too."""
        log(store, shown())
        (file,) = drained(store, tmp_path).files
        table = pq.read_table(file, partitioning=None)
        other = tmp_path / "other.parquet"
        pq.write_table(table.rename_columns([name.replace(FEATURES[0], "charm") for name in table.column_names]), other)
        with pytest.raises(DatasetError, match=r"other\.parquet has other features .*feature\.charm"):
            impressions.read([file, other])
        other.write_bytes(b"PAR1")
        with pytest.raises(DatasetError, match="can't be read"):
            impressions.read([other])
        assert len(impressions.read([])) == 0
