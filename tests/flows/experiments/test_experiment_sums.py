"""Reports keep the sums of each day: they read new files alone, and give what all files together would give."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from flows.forgetting.deleted_users import remove_deleted_users
from flows.steps.experiment_rows import read_rows
from flows.steps.experiment_sums import FOLDER, SOURCES
from recsys.store import RedisFlowStore
from tests.flows.experiments.shown_items import DAYS, EXPERIMENT, FILES, WINDOW, path_of, put, shown
from tests.servers.store_server import on_users
from training.experiments.day_sums import SHOWN, day_sums, slates_of
from training.experiments.user_rows import user_rows
from training.read.locations import Location


@pytest.fixture
def folder(tmp_path):
    """Impressions of four days, three files a day."""
    for day in range(DAYS):
        for number in range(FILES):
            put(tmp_path / "impressions", day, number)
    return tmp_path / "impressions"


@pytest.fixture
def reads(monkeypatch):
    """The files of impressions that were read."""
    found, dataset = [], ds.dataset

    def counted(paths, *more, **others):
        found.extend(Path(each) for each in ([paths] if isinstance(paths, str) else paths) if "impressions" in each)
        return dataset(paths, *more, **others)

    monkeypatch.setattr(ds, "dataset", counted)
    return found


def read(folder, window=WINDOW, targets=("buy",)):
    return read_rows.fn(Location(str(folder)), Location(str(sums_of(folder))), EXPERIMENT, window, targets)


def sums_of(folder):
    return folder.parent / FOLDER


def assert_as_from_all_files(folder, window=WINDOW, targets=("buy",)):
    """The rows are exactly those computed from all files, without kept sums."""
    days = []
    for path in sorted(folder.glob("date=*")):
        files = [pq.read_table(file, schema=SHOWN, partitioning=None) for file in sorted(path.glob("*.parquet"))]
        days.append(day_sums(slates_of(pa.concat_tables(files), targets), "look", window))
    expected, found = user_rows(days, window.groups), read(folder, window, targets)
    for surface in (None, *expected.surfaces):
        pd.testing.assert_frame_equal(found.of(surface), expected.of(surface), check_exact=True)
    tables = {"during": None, "before": None}
    assert replace(found, **tables) == replace(expected, **tables)
    return found


def rewritten(folder):
    """Without the rows of a user, as after a deletion."""
    table = shown(1, 0)
    return {put(folder, 1, 0, table.filter(pa.compute.not_equal(table["user_id"], "user-3")))}


def joined(folder):
    """The files of a day in one file."""
    for number in range(FILES):
        path_of(folder, 1, number).unlink()
    return {put(folder, 1, 9, pa.concat_tables([shown(1, number) for number in range(FILES)]))}


def removed(folder):
    """A file of a day."""
    path_of(folder, 1, 0).unlink()
    return set()


def grown(folder):
    """The same name with more rows, as of a drain that was killed and ran again."""
    return {put(folder, 1, 2, pa.concat_tables([shown(1, 2), shown(1, 5)]))}


def twice(folder):
    """Slates in two files, as after a drain was killed and a user was deleted: these files are read together."""
    table = shown(1, 1)
    put(folder, 1, 8, table.filter(pa.compute.not_equal(table["user_id"], "user-3")))
    return {path_of(folder, 1, number) for number in (*range(FILES), 8)}


@pytest.mark.parametrize("change", [rewritten, joined, removed, grown, twice])
def test_a_changed_file_is_read_again(folder, reads, change):
    """Others are not. Then a report without a change reads nothing, and a new file is read alone."""
    read(folder)
    reads.clear()
    changed = change(folder)
    assert_as_from_all_files(folder)
    assert set(reads) == changed
    reads.clear()
    assert_as_from_all_files(folder)
    assert reads == []
    new = put(folder, 1, 7)
    assert_as_from_all_files(folder)
    assert reads == [new]


def damaged(path):
    path.write_bytes(path.read_bytes()[:100])


def without_sources(path):
    """As of a release with other sums: the key is another one."""
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def with_other_sources(path):
    """The key is the same, but the record lacks a field."""
    pq.write_table(pq.read_table(path).replace_schema_metadata({SOURCES: b'{"0-0.parquet": {"files": {}}}'}), path)


@pytest.mark.parametrize("change", [damaged, without_sources, with_other_sources])
def test_sums_that_can_not_be_trusted_are_made_again(folder, reads, change):
    """From the files of their day."""
    read(folder)
    reads.clear()
    change(next(sums_of(folder).glob(f"{path_of(folder, 1, 0).parent.name}/look.parquet")))
    assert_as_from_all_files(folder)
    assert sorted(reads) == [path_of(folder, 1, number) for number in range(FILES)]


def test_a_deleted_user_leaves_the_sums(folder, reads, empty_url):
    """The files of a bucket may keep the user for a run longer. Then a report reads no more than the changed files."""
    store, home, sums = RedisFlowStore(empty_url), folder.parent, Location(str(sums_of(folder)))
    put(folder, 1, FILES, shown(1, FILES).slice(0, 0))
    read(folder)
    assert "user-3" in users_of(folder)
    on_users(empty_url, lambda users: users.forget_user("user-3"))
    remove_deleted_users.fn(store, [sums], home)
    assert "user-3" not in users_of(folder)
    reads.clear()
    read(folder)
    assert reads == []
    put(folder, 2, 0)  # a report reads the user again meanwhile
    read(folder)
    assert "user-3" in users_of(folder)
    remove_deleted_users.fn(store, [Location(str(folder)), sums], home)
    assert "user-3" not in users_of(folder)
    reads.clear()
    assert "user-3" not in assert_as_from_all_files(folder).of().index
    assert path_of(folder, 1, 0) in reads
    assert path_of(folder, 1, FILES) not in reads
    assert "user-3" not in users_of(folder)
    store.close()


def users_of(folder):
    """The users in all kept sums."""
    files = sums_of(folder).rglob("*.parquet")
    return {user for file in files for user in pq.read_table(file, partitioning=None)["user_id"].to_pylist()}
