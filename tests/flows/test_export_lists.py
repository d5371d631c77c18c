"""The Parquet file of `batch`: the same rules as in serving, and old files."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.list_parts.list_tables import best_items
from flows.steps.parquet_export import LISTS, export_file
from recsys.environment import Environment
from recsys.generation.loader import load_ranker, load_retriever
from recsys.lists.list_maker import ListMaker
from recsys.lists.user_record import UserRecord
from recsys.rules import parse


@pytest.fixture(scope="module")
def maker(tiny_world):
    folder, _ = tiny_world
    return ListMaker(folder.manifest, folder.tables(), folder.spec(), load_retriever(folder), load_ranker(folder))


def exported(maker, rules, seen=(), top=20):
    """The item rows in the file, for one user with seen items."""
    record = replace(UserRecord.empty(), seen=np.array(seen, np.int32))
    now = maker.manifest.data_end
    ruled = replace(maker, rules=parse(rules))
    table = best_items(ruled, top, now, [("someone", (record, []), ruled.make([(record, [])], now)[0])])
    return maker.rows_of(table["item_id"].to_pylist())


@pytest.mark.parametrize(
    ("of_dataset", "rule", "excludes"), [(True, "'dataset'", True), (False, "true", True), (True, "false", False)]
)
def test_the_rules_decide_whether_seen_items_are_excluded(maker, monkeypatch, of_dataset, rule, excludes):
    """A pinned item that was seen is in the file or not, as rule and dataset say."""
    monkeypatch.setitem(maker.manifest.settings, "exclude_seen", of_dataset)
    seen = int(maker.tables.by_popularity[0])
    pin = f"[[pin]]\nitem='{maker.tables.ids[seen]}'\nplace=1"
    rows = exported(maker, f"exclude_seen={rule}\n{pin}", [seen])
    assert (seen not in rows) == excludes
    assert len(rows) == 20


def test_the_rules_decide_whether_unavailable_items_are_hidden(maker):
    """They are hidden unless hide_unavailable is false."""
    available = np.array(maker.tables.available)
    available[3] = False
    hiding = replace(maker, tables=replace(maker.tables, available=available))
    pin = f"[[pin]]\nitem='{maker.tables.ids[3]}'\nplace=1"
    assert 3 not in exported(hiding, pin)
    assert exported(hiding, f"hide_unavailable=false\n{pin}")[0] == 3


def test_unfinished_files_of_killed_runs_are_removed(tmp_path):
    """After a day without a write; the file of a run in progress stays. TANDEM_EXPORTS replaces the home."""
    environment, now = Environment(tmp_path / "home", None, exports=str(tmp_path)), time.time()
    killed, running = (tmp_path / "lists" / folder / f".{int(now)}.parquet" for folder in ("g-before", "g-now"))
    for path in (killed, running):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"half")
    os.utime(killed, (now - 90_000, now - 90_000))
    with export_file(environment, LISTS, "g-new", now) as (path, _):
        assert (killed.exists(), running.exists()) == (False, True)
    assert Path(path.path).exists()
    assert not (tmp_path / "home").exists()
