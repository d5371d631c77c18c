"""The flow `drift` on slates of a real deployment: quiet, and an alert that names what was changed in the files."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.__main__ import main
from flows.drift import drift
from recsys.store import RedisFlowStore
from recsys.store.redis.run_store import RedisRunStore
from tests.flows.runs.flow_alert_check import check_alerts
from tests.sample_data import tiny
from tests.servers.deployment import wait_for
from tests.servers.prometheus import FLOW_ALERTS
from training.read.impressions import SCHEMA

MODES = "realtime", "hybrid"
USERS, AT_ONCE, DAY = 300, 4, 86_400
DRAW = np.random.default_rng(0)


def ask(url, user):
    """Users with odd ids click first. A tenth of the requests have a session, which the store does not keep.

    The slates of a third of the users are made of their lists.
    """
    with httpx.Client(base_url=url, timeout=30) as client:
        event = {"user_id": user, "item_id": f"drama-{user % 25}", "event_type": "interaction"}
        if user % 2:
            client.post("/events", json=event).raise_for_status()
        body = {"user_id": user, "k": 10, "context": {"device": tiny.DEVICES[user % 2]}, "mode": MODES[user % 3 == 0]}
        if user % 10 == 0:
            body["session"] = [{"item_id": f"comedy-{user % 25}", "event_type": "interaction"}]
        client.post("/recommend", json=body).raise_for_status()
        client.post("/events", json=event).raise_for_status()  # not known to the slate


@pytest.fixture(scope="module")
def served(inline):
    """The rows of slates that a deployment served and `drain` wrote, and the store's address."""
    inline.flow("batch", "--top", "3")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda user: ask(inline.deployment.url, user), range(USERS)))
    store = RedisFlowStore(inline.url)
    wait_for(lambda: len(store.read_impressions(count=USERS)) == USERS)
    store.close()
    files = inline.flow("drain", "--wait", "0")["files"]
    return pd.concat([pq.read_table(file, partitioning=None).to_pandas() for file in files]), inline.url


@pytest.fixture
def home(served, tmp_path, monkeypatch):
    """A folder in which each of the seven days before has the same slates."""
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", served[1])
    for days in range(1, 8):
        write(tmp_path, served[0].assign(**{name: served[0][name] - days * DAY for name in ("time", "asked")}))
    return tmp_path


def write(home, rows):
    folder = home / "impressions" / time.strftime("date=%Y-%m-%d", time.gmtime(rows["time"].min()))
    folder.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([*SCHEMA, ("feature.own_year", pa.float32()), ("feature.gap_year", pa.float32())])
    table = pa.Table.from_pandas(rows, schema, preserve_index=False)
    pq.write_table(table, folder / f"{len([*folder.iterdir()])}.parquet")


def fired(url, tmp_path, expected):
    """Fail unless the last record of the flow fires exactly these alerts."""
    runs = RedisRunStore(url)
    check_alerts(
        FLOW_ALERTS,
        {"drift": runs.read()["drift"][:1]},
        time.time(),
        expected,
        tmp_path,
    )
    runs.close()


def test_slates_as_they_were_served_fire_nothing(served, home, tmp_path, capsys):
    """Logged features equal those from the store; slates with a session are left out. The command prints both."""
    write(home, served[0])
    assert main(["drift"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("No column differs from the week before.\nLogged features of ")
    result = drift()
    assert (result.alarms, result.skewed) == ([], [])
    assert result.skew.rows >= 0.8 * USERS
    assert set(served[0]["mode"]) == {*MODES}
    assert max(result.skew.shares.values()) == 0
    fired(served[1], tmp_path, [])


@pytest.mark.parametrize("column", ["feature.content_affinity", "feature.own_year"])
def test_a_shuffled_column_is_named(served, home, tmp_path, column):
    """Each user gets the values of another: the distribution is the same, so only the store shows the change."""
    rows = served[0].copy()
    rows[column] = rows.groupby("place")[column].transform(DRAW.permutation)
    write(home, rows)
    result = drift()
    assert (result.alarms, result.skewed) == ([], [column])
    fired(served[1], tmp_path, [f"TandemSkew {column}"])


@pytest.mark.parametrize("alarms", [[], ["week/item"]])
def test_a_week_of_nightly_generations_is_compared(served, tmp_path, monkeypatch, alarms):
    """What users were shown is compared with a week, although the generation of the window served on no day of it."""
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", served[1])
    for days in range(1, 8):
        earlier = {name: served[0][name] - days * DAY for name in ("time", "asked")}
        write(tmp_path, served[0].assign(generation=f"g20260101-00000{days}-abcdef", **earlier))
    rows = served[0].copy()
    rows.loc[rows["place"].isin([1, 2]) & bool(alarms), "item_id"] = "pushed-1"
    write(tmp_path, rows)
    result = drift()
    assert "the week before" in result.sentence
    assert result.alarms == alarms


def test_no_slates_yet(served, tmp_path, monkeypatch, capsys):
    """Too few users are a sentence, for people and for programs, and no alert."""
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", served[1])
    assert main(["drift", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["sentence"] == "Not compared: 0 users had slates, and 100 are needed."
    fired(served[1], tmp_path, [])
