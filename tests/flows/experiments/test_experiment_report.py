"""The flow `experiment-report`: from drained slates to a page, rows without user ids, and a verdict."""

import asyncio
import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from flows.__main__ import main
from flows.drain import drain
from flows.experiment_report import experiment_report, experiment_reports
from recsys.experiments import changes
from recsys.experiments.definition import checked
from recsys.store.redis.redis_experiments import RedisExperimentStore
from recsys.store.redis.user_store import RedisUserStore
from recsys.store.stored_types import UserMerge
from tests.chaos.event_sender import forget
from training.read.impressions import SCHEMA

DEFINITION = {"name": "look", "arms": {"new": {"share": 0.5, "mode": "hybrid"}}}
DAY = 86_400.0


@pytest.fixture
def store(shop):
    """An experiment that has run at 100 % for three days."""
    found, now = RedisExperimentStore(shop.url), time.time()
    found.change(lambda document: changes.create(document, checked(DEFINITION), now - 4 * DAY))
    found.change(lambda document: changes.start(document, "look", now - 3.5 * DAY))
    found.change(lambda document: changes.ramp(document, "look", 1.0, now - 3 * DAY))
    yield found
    found.close()


def write_slates(home, users=1_200, lift=0.4, share=0.5, refused=10**9):
    """Files as `drain` leaves them: each user has slates on some of the last six days, and an arm on the last three.

    refused: the arm of the second of so many users could not be served.
    """
    draw, now, rows = np.random.default_rng(3), time.time(), []
    new, rate = draw.random(users) < share, draw.beta(2, 8, users)
    for user in range(users):
        for number in range(1 + draw.poisson(4)):
            at = now - draw.uniform(0, 6) * DAY
            during = at > now - 3 * DAY + 60
            taken = draw.random() < rate[user] * (1 + lift * new[user] * during)
            arm = f"look={'new' if new[user] else 'control'}" if during else ""
            served = "" if user % refused == 1 else arm
            rows.append((f"{user}-{number}", f"user-{user}", at, "mail" if user % 3 else "home", taken, served, arm))
    names, kinds = (
        ["impression", "user_id", "time", "surface", "label", "arms", "assigned"],
        dict(zip(SCHEMA.names, SCHEMA.types, strict=True)),
    )
    for day in {int(row[2] // DAY) for row in rows}:
        some = [row for row in rows if row[2] // DAY == day]
        columns = [
            pa.array(list(column), kinds[name]) for name, column in zip(names, zip(*some, strict=True), strict=True)
        ]
        folder = home / "impressions" / time.strftime("date=%Y-%m-%d", time.gmtime(day * DAY))
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_arrays(columns, names), folder / "1-0.parquet")


def test_a_report_of_an_arm_that_is_better(store, tmp_path):
    """Verdict, page and rows; no file names a user; the JSON has the figures."""
    write_slates(tmp_path)
    result = experiment_report("look")
    assert result.words == {"new": "better"}
    page = Path(result.page).read_text()
    assert result.verdict.startswith("new is better than control: clicks per slate +")
    assert result.verdict in page.replace("&#43;", "+")
    rows = pq.read_table(result.rows, partitioning=None).to_pandas()
    assert rows["slates"].sum() == sum(group.slates for group in result.reading.segments["all"].groups.values())
    assert rows["slates_before"].sum() > 1_000
    assert set(rows["surface"]) == {"home", "mail"}
    assert b"user-" not in Path(result.rows).read_bytes()
    assert "user-" not in page
    figures = json.loads(json.dumps(asdict(result)))["reading"]["segments"]["all"]
    assert figures["lifts"]["new"]["click"]["low"] > 0
    assert figures["lifts"]["new"]["click"]["adjusted"] is True


def test_the_command(store, tmp_path, capsys):
    """A sentence and tables for people, JSON for programs; a wrong time is a sentence."""
    write_slates(tmp_path)
    assert main(["experiment", "report", "look"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("new is better than control")
    assert "Surface mail" in printed
    assert f"Page: {tmp_path}/experiments/look.html" in printed
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 2 * DAY))
    assert main(["experiment", "report", "look", "--since", since, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["reading"]["sample_ratio"]["users"].keys() == {"control", "new"}
    assert main(["experiment", "report", "look", "--since", "yesterday", "--json"]) == 1
    assert "--since is a date" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_report_of_all_halts_an_arm_that_loses_clicks(store, tmp_path, capsys):
    """With the reason in the document; experiments without users are left out, as this one is from now on."""
    now = time.time()
    store.change(lambda document: changes.create(document, checked(DEFINITION | {"name": "draft"}), now))
    write_slates(tmp_path, lift=-0.6)
    assert main(["experiment", "report", "--all", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["verdicts"].keys() == {"look"}
    (why,) = done["halted"].values()
    assert "click_rate_drop allows -10.0" in why
    assert store.read().experiments["look"].halted == {"new": why}
    value, low, high = done["lifts"]["look/new"]
    assert low < value < high < 0
    assert main(["experiment", "report", "--all"]) == 0
    assert capsys.readouterr().out == "No arm has users.\n"


def test_a_second_run_reads_no_file_again(shop, store, tmp_path, monkeypatch):
    """The schedule reports each ten minutes; a new file is read alone. Deleted and merged users leave the kept sums."""
    opened, dataset = [], ds.dataset

    def counted(path, *more, **others):
        opened.extend([path] if "/impressions/" in str(path) else [])
        return dataset(path, *more, **others)

    monkeypatch.setattr(ds, "dataset", counted)
    write_slates(tmp_path, lift=0.0)
    files = sorted((tmp_path / "impressions").rglob("*.parquet"))
    first = experiment_reports()
    assert sorted(opened) == [str(file) for file in files]
    opened.clear()
    assert experiment_reports().lifts == first.lifts
    assert opened == []
    new = files[-1].with_name("2-0.parquet")
    rows = pq.read_table(files[-1], partitioning=None).slice(0, 40).to_pandas()
    pq.write_table(pa.Table.from_pandas(rows.assign(impression="later-" + rows["impression"])), new)
    assert experiment_reports().lifts != first.lifts
    assert opened == [str(new)]
    assert users_of_sums(tmp_path) >= {"user-1", "user-2", "user-3"}
    forget(shop.url, "user-1")
    merge(shop.url, "user-2", into="user-3")
    assert drain().deleted > 0
    for _ in range(2):  # before the next report, and after it
        assert not users_of_sums(tmp_path) & {"user-1", "user-2"}
        assert "user-3" in users_of_sums(tmp_path)
        experiment_reports()


def merge(url, visitor, into):
    """A visitor logs in: as a gateway does."""

    async def scene():
        users = RedisUserStore(url)
        await users.merge_user(visitor, into)
        await users.merge_streams([UserMerge(visitor, into, time.time())])
        await users.close()

    asyncio.run(scene())


def users_of_sums(home):
    """The users in the kept sums."""
    files = (home / "experiment-sums").rglob("look.parquet")
    return {user for file in files for user in pq.read_table(file, partitioning=None)["user_id"].to_pylist()}
