"""Datasets that add collected events to their log, or that have collected events alone."""

import time

import pandas as pd
import pytest

from flows.collection.collect_events import write_day
from recsys.errors import DatasetError
from recsys.store.stored_types import CollectedEvent
from recsys.types import Event
from recsys.user_digest import digest_of
from tests.unit.data.small_log import rows
from training.config import TrainingConfig
from training.encode.interaction_log import encode
from training.judge.gate.dataset_profile import DataProfile
from training.judge.run_page import RunReport, report
from training.read.dataset import read
from training.read.locations import Location
from training.read.mapping import Mapping
from training.read.table_reader import check_columns

START, LATER = 1_700_000_000.0, 1_700_100_000.0
ON = "[collected]\nevents = true\n"
TYPED = 'event_type = "did"\ncontext = ["device"]\n' + ON


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The home whose collected events are read."""
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def collect(home):
    """Write collected events, each with the dataset that was live."""

    def write(*events, dataset="shop", first=1):
        logged = [CollectedEvent(f"1700100000000-{n}", event, dataset) for n, event in enumerate(events, first)]
        write_day(Location(str(home / "events")), "2023-11-16", f"0-{first}", logged)

    return write


def test_events_follow_the_log(shop, collect):
    """Rows, times, ids of the log's type, and the part that was collected is in the profile and in a sentence."""
    collect(Event("7", "105", LATER), Event("new", "200", LATER + 60))
    dataset = read(shop(rows(), ON))
    frame = dataset.interactions
    assert len(frame) == 22
    assert frame["item_id"].tolist()[-2:] == [105, 200]
    assert frame["user_id"].tolist()[-3:] == ["19", "7", "new"]  # one id is text, so all are
    assert dataset.notes.lines(22) == [
        "Collected events: 2, from 2023-11-16 02:00 to 2023-11-16 02:01 UTC; 0 repeat a row of the log."
    ]
    log = encode(dataset)
    profile = DataProfile.from_manifest(DataProfile.of(dataset, log).to_json())
    assert profile.read == {"interactions": 20, "items": 0, "collected": 2}
    assert profile.collected == {"rows": 2, "first": LATER, "last": LATER + 60, "repeats": 0}
    page = report(RunReport(profile, TrainingConfig(), {}))
    assert ["of which collected", dataset.notes.lines(22)[0]] in page.parts[-1].rows


def test_events_of_another_dataset_do_not_enter(shop, collect):
    """Those of the demo stay out; those that arrived while nothing was live count."""
    collect(Event(1, 105, LATER), dataset="demo")
    collect(Event(2, 106, LATER), dataset="", first=2)
    assert read(shop(rows(), ON)).interactions["item_id"].tolist()[20:] == [106]


def test_an_event_counts_once(shop, collect):
    """A repeat by id, by entry in two files, and of the log: same user, item and type in the same second."""
    one = Event(1, 300, LATER, event_id="order-1")
    in_log = Event(5, 105, START + 5.4)
    collect(one, one._replace(timestamp=LATER + 9), one._replace(user_id=2), in_log)
    collect(one, first=1)
    dataset = read(shop(rows(), ON))
    assert dataset.interactions["user_id"].tolist()[20:] == [1, 2]
    assert dataset.notes.collected.repeats == 1


def test_a_log_of_days_repeats_within_the_day(shop, collect):
    """Such a log has no time of day, and its times stay estimates."""
    log = rows(when=[time.strftime("%Y-%m-%d", time.gmtime(START + 86_400 * n)) for n in range(20)])
    collect(Event(0, 100, START + 3_600), Event(0, 100, START + 86_400))
    dataset = read(shop(log, ON))
    assert (len(dataset.interactions), dataset.notes.collected.repeats) == (21, 1)
    assert not dataset.exact_times


def test_types_and_contexts(shop, collect, tmp_path):
    """Context columns are filled; a type that the log lacks is set aside with its reason; impressions are left out."""
    seen = Event(1, 101, LATER, "view", context={"device": "tv", "shop": "x"})
    others = [seen._replace(event_type=name) for name in ("scroll", "impression")]
    collect(seen, *others, Event(2, 102, LATER, "view"))
    log = rows(did="view", device="mobile")
    dataset = read(shop(log, TYPED), tmp_path / "aside")
    assert dataset.interactions["context.device"].astype("object").fillna("").tolist()[20:] == ["tv", ""]
    assert dataset.notes.set_aside == {"collected, event_type: not in the log or in [events]": 1}
    assert pd.read_csv(tmp_path / "aside" / "collected.csv")["event_type"].tolist() == ["scroll"]
    named = TYPED + "[events]\nweights = { view = 1, scroll = 0.1 }\n"
    assert len(read(shop(log, named)).interactions) == 23


def test_events_that_can_not_be_read_do_not_stop_a_training(shop, collect):
    """Of a time to come, and of an item whose id is no integer as in the log: set aside, even if they are most."""
    others = [Event(1, item, LATER) for item in ("sku-1", "007", 108)]
    collect(Event(1, 101, time.time() + 200_000), *others)
    dataset = read(shop(rows(), ON))
    assert dataset.notes.set_aside == {
        "collected, item_id: no integer, as in the log": 2,
        "collected, timestamp: in the future": 1,
    }
    assert dataset.interactions["item_id"].dtype == "int64"


def test_collected_events_alone(shop, collect, tmp_path):
    """No file of interactions; further settings of the section hold. Without an event the error says what to do."""
    (tmp_path / "dataset.toml").write_text(
        f'name = "shop"\n[interactions]\ncontext = ["device"]\n{ON}impressions = true\n'
    )
    check_columns(Mapping.read(tmp_path))
    with pytest.raises(DatasetError, match=r"no usable event of 'shop'\. Send events to /events and run: python -m fl"):
        read(tmp_path)
    collect(Event(1, 7, LATER, "view"), Event("u", 8, LATER, context={"device": "tv"}))
    dataset = read(tmp_path)
    assert dataset.interactions["item_id"].tolist() == [7, 8]
    assert dataset.interactions["event_type"].tolist() == ["view", "click"]
    assert len(encode(dataset)) == 2


def test_rows_of_deleted_users_are_left_out(shop, collect):
    """Of the log and of collected events, up to the deletion; the sentence says for how long this holds.

    A row without a time, or with one of the far future, does not go to the quarantine either.
    """
    collect(Event(1, 108, LATER), Event(2, 109, LATER))
    log = rows(when=[*range(1_700_000_000, 1_700_000_018), "", 90_000_000_000])
    deleted = {digest_of(user): START + 4 for user in (3, 4, 18, 19)} | {digest_of(1): LATER + 1e6, digest_of(5): START}
    dataset = read(shop(log, ON), deleted=deleted)
    assert dataset.interactions["user_id"].tolist() == [0, 2, *range(5, 18), 2]
    assert dataset.notes.set_aside == {}
    assert dataset.notes.lines(16)[-1].startswith("Rows of deleted users left out: 6. The store remembers")
