"""The flow `drain`: labels, files, kills between two writes, and the loader of the files."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import redis

from flows.collection.credited_events import credited_events, read_stored_slates
from flows.drain import DrainResult, drain_some
from flows.forgetting.deleted_users import remove_deleted_users
from recsys.lists.impression import Impression
from recsys.model.features import FEATURES
from recsys.store import RedisFlowStore, RedisUserStore
from recsys.store.stored_types import IMPRESSION_LIMITS
from recsys.types import Event, Source
from tests.servers.store_server import on_users
from training.read import impressions
from training.read.impressions import SCHEMA
from training.read.locations import Location

WAIT, WIDTH = 600.0, len(FEATURES)
WANTED = impressions.WantedSlates("shop", lambda name: 1.0, np.inf, 100)
NOON = time.time() // 86_400 * 86_400 + 43_200
"""Noon of today: an hour before and after belong to the same day."""


def shown(user="7", at=NOON, items=("a", "b", "c"), width=WIDTH, **more):
    """An impression with numbered features."""
    n = len(items)
    features = np.arange(n * width, dtype=np.float32).reshape(n, width)
    sources = np.full(n, Source.TOWER | Source.EASE, np.uint16)
    places, scores = np.arange(n, dtype=np.int16), -np.arange(n, dtype=np.float32)
    return Impression("g1", user, at, at - 0.01, "realtime", list(items), places, scores, sources, features, **more)


class Store(RedisFlowStore):
    """What the flow reads and writes. url: of the same store, for the writes of gateways."""

    def __init__(self, url):
        super().__init__(url)
        self.url = url


@pytest.fixture
def store(empty_url):
    """An empty store."""
    opened = Store(empty_url)
    yield opened
    opened.close()


@pytest.fixture
def valkey(empty_url):
    """A client of an empty Valkey."""
    with redis.Redis.from_url(empty_url) as client:
        yield client


def log(store, *slates):
    packed = [("?", slate) if isinstance(slate, bytes) else (slate.user_id, slate.pack()) for slate in slates]
    on_users(store.url, lambda users: users.add_impressions(packed))


def add(url, limits, slates):
    """Add packed slates to a real store, some at a time as a gateway does."""

    async def scene():
        users = RedisUserStore(url, impressions=limits)
        for start in range(0, len(slates), 250):
            await users.add_impressions([("7", slate) for slate in slates[start : start + 250]])
        await users.close()

    asyncio.run(scene())


def act(store, *events):
    on_users(store.url, lambda users: users.add_events(events))


def forget(store, user):
    on_users(store.url, lambda users: users.forget_user(user))


def one_step(store, folder, now, stored=None):
    """One step of the flow at a time. stored: what the run has read."""
    return drain_some.fn(store, Location(str(folder)), WAIT, now, stored or read_stored_slates.fn(store))


def drained(store, folder):
    done = one_step(store, folder, time.time() + 3600)
    return replace(done, files=[*map(Path, done.files)])


def taken(slate, events):
    """The types of the events that are credited to a slate, by item."""
    return credited_events({"1-0": slate}, {}, {str(slate.user_id): events}, WAIT)["1-0"]


def drained_files(store, folder):
    return [Location(str(file)) for file in drained(store, folder).files]


class TestLabels:
    def test_the_first_event_within_the_wait_is_the_label(self):
        """Events count from the time of the slate to the end of the wait; the first event's type stands first."""
        done = [
            Event("7", "early", NOON - 1, "click"),
            Event("7", "a", NOON, "click"),
            Event("7", "a", NOON + 9, "purchase"),
            Event("7", "a", NOON + 10, "click"),
            Event("7", "b", NOON + WAIT, "purchase"),
            Event("7", "late", NOON + WAIT + 1, "click"),
        ]
        assert taken(shown(), done) == {"a": ["click", "purchase"], "b": ["purchase"]}

    def test_a_row_for_each_item_shown(self, store, tmp_path):
        """A row has place, score, sources, features, label and the user's arms; ids are text."""
        log(store, shown(user=7, items=(1, 2, 3), arms={"ranker": "new", "look": "control"}))
        act(store, Event("7", "2", NOON + 5, "purchase"), Event("8", "1", NOON + 5))
        done = drained(store, tmp_path)
        assert (done.impressions, done.rows, done.taken, done.damaged, done.waiting) == (1, 3, 1, 0, 0)
        table = pq.read_table(done.files[0], partitioning=None)
        assert table.schema.equals(SCHEMA)
        frame = table.to_pandas()
        assert frame["item_id"].tolist() == ["1", "2", "3"]
        assert frame["user_id"].unique().tolist() == ["7"]
        assert frame["label"].tolist() == [False, True, False]
        assert table["event_type"].to_pylist() == [None, "purchase", None]
        assert table["event_types"].to_pylist() == [[], ["purchase"], []]
        assert table["arms"].to_pylist() == ["ranker=new,look=control"] * 3
        assert frame["place"].tolist() == [0, 1, 2]
        assert frame["sources"].unique().tolist() == ["tower,ease"]
        assert frame[f"feature.{FEATURES[1]}"].tolist() == [1.0, 1.0 + len(FEATURES), 1.0 + 2 * len(FEATURES)]

    def test_slates_of_generations_with_different_own_columns(self, store, tmp_path):
        """One file has the columns of all, NaN in slates without them; a training reads slates of its own columns."""
        own = {"dataset": "shop", "own_features": ("own_price", "gap_price")}
        log(store, shown("7", dataset="shop"), shown("8", width=WIDTH + 2, **own))
        act(store, Event("7", "a", NOON + 5, "purchase"), Event("8", "b", NOON + 5, "purchase"))
        done = drained(store, tmp_path)
        (file,) = done.files
        frame = pq.read_table(file, partitioning=None).to_pandas()
        assert frame["feature.gap_price"].isna().tolist() == [True] * 3 + [False] * 3
        for features, price in (
            (FEATURES, []),
            ((*FEATURES, *own["own_features"]), [WIDTH, 2 * WIDTH + 2, 3 * WIDTH + 4]),
        ):
            read = impressions.read([Location(str(file))], replace(WANTED, features=features))
            assert read.features[:, WIDTH:][:, :1].ravel().tolist() == price
            assert (len(read), read.left_out) == (1, {impressions.OTHER_FEATURES: 1})
        other = replace(WANTED, features=(*FEATURES, "own_stock", "gap_stock"))
        assert len(impressions.read([Location(str(file))], other)) == 0


class TestFiles:
    def test_a_kill_between_write_and_delete_duplicates_nothing(self, store, tmp_path, monkeypatch):
        """The next run writes the same file again, with later impressions: no impression is lost or duplicated."""
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

    def test_unreadable_impressions_are_counted_and_deleted(self, store, tmp_path):
        """Damaged, without items, or with text that no file can hold: the others are drained."""
        broken = bytearray(shown().pack())
        broken[-1] ^= 1
        log(store, bytes(broken), b"", shown(items=()), shown(user="\ud800"), shown("sound"))
        done = drained(store, tmp_path)
        assert (done.impressions, done.damaged, done.waiting) == (1, 4, 0)
        assert store.read_impressions() == []


class TestStore:
    def test_the_wait_is_measured_by_the_clock_of_the_store(self, valkey, own_valkey_url, tmp_path, monkeypatch):
        """A host whose clock is an hour ahead drains no impression too early."""
        real, flows = time.time, RedisFlowStore(own_valkey_url)
        add(own_valkey_url, IMPRESSION_LIMITS, [shown().pack()])
        monkeypatch.setattr(time, "time", lambda: real() + 3600)
        done = one_step(flows, tmp_path, flows.now())
        assert (done.impressions, done.waiting) == (0, 1)
        flows.close()

    def test_no_impression_of_35_minutes_is_lost(self, valkey, own_valkey_url, tmp_path):
        """Of 100 impressions a second each is drained or waits; the default limit of memory removes none unread."""
        flows, slate, minutes = RedisFlowStore(own_valkey_url), shown(items=("a",)).pack(), []
        for _ in range(35):
            add(own_valkey_url, IMPRESSION_LIMITS, [slate] * 6_000)
            minutes.append(flows.now())
        now = minutes[4] + WAIT  # five minutes are old enough
        stored, total = read_stored_slates.fn(flows), DrainResult()
        while (step := one_step(flows, tmp_path, now, stored)).impressions:
            total = total.plus(step)
        assert total.impressions >= 30_000
        assert total.impressions + valkey.xlen("impressions") == 210_000
        assert flows.lost_impressions() == 0
        assert valkey.memory_usage("impressions", samples=0) < 1.2 * IMPRESSION_LIMITS.bytes
        flows.close()


class TestLoader:
    def test_features_grades_and_slates(self, store, tmp_path):
        """The loader returns the slates with a taken item; a slate of an unknown dataset is another one's."""
        one, two = shown(at=NOON - 86_400, items=("a", "b"), dataset="shop"), shown(dataset="shop")
        log(store, one, two, shown("8", dataset="shop"), shown("9"))
        act(store, Event("7", "c", NOON + 1), Event("9", "c", NOON + 1))
        found = impressions.read(drained_files(store, tmp_path), WANTED)
        np.testing.assert_array_equal(found.features, two.features)
        assert found.grades.tolist() == [0, 0, 1]
        assert (found.times.tolist(), found.until.tolist()) == ([NOON], [NOON + WAIT])


class TestDeletedUsers:
    def test_rows_of_a_deleted_user_leave_the_files(self, store, tmp_path):
        """Those of slates before the deletion, in files of all days; a slate since then and other users stay."""
        folder, now = Location(str(tmp_path)), time.time()
        log(store, shown("7", NOON - 86_400), shown("8", NOON - 86_400), shown(7, now - 60), shown("7", now + 60))
        before = {file: pq.read_table(file, partitioning=None) for file in drained(store, tmp_path).files}
        forget(store, "7")
        assert remove_deleted_users.fn(store, [folder], tmp_path) == 6
        left = {file: pq.read_table(file, partitioning=None) for file in before}
        assert [table.schema for table in left.values()] == [SCHEMA] * len(left)
        columns = [(table["user_id"].to_pylist(), table["time"].to_pylist()) for table in left.values()]
        rows = [row for users, times in columns for row in zip(users, times, strict=True)]
        assert set(rows) == {("8", NOON - 86_400), ("7", now + 60)}
        assert store.read_deleted_users()[-1].entry in (tmp_path / "deletions.json").read_text()
        assert remove_deleted_users.fn(store, [folder], tmp_path) == 0

    def test_a_killed_run_leaves_the_user_to_the_next(self, store, tmp_path, monkeypatch):
        """The store keeps the note until all files are written."""
        log(store, shown("7", NOON - 86_400))
        (file,) = drained(store, tmp_path).files
        forget(store, "7")
        with monkeypatch.context() as killed:
            killed.setattr(pq, "ParquetWriter", lambda *_, **__: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                remove_deleted_users.fn(store, [Location(str(tmp_path))], tmp_path)
        assert pq.read_metadata(file).num_rows == 3
        assert remove_deleted_users.fn(store, [Location(str(tmp_path))], tmp_path) == 3
        assert pq.read_metadata(file).num_rows == 0
