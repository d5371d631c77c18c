"""`python -m training offpolicy` on files of `drain`: an estimate near a known truth, and mistakes as sentences."""

import json
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.collection.credited_events import credited_events
from flows.drain import to_table
from recsys.lists.impression import Impression
from recsys.model.features import FEATURES
from recsys.rules.exploration import DrawPolicy
from recsys.types import Event
from tests.fakes.plain_slate import Catalogue, slate
from training.__main__ import main
from training.data.locations import Location
from training.offpolicy.explored_files import WantedExploredSlates, read

ITEMS, PLACES, USERS = 8, 3, 3_000
WORLD = Catalogue([["Drama"]] * ITEMS)
SCORES = np.linspace(1, -1, ITEMS)
TAKEN = np.linspace(0.1, 0.8, ITEMS)
"""The chance that a user takes an item. The ranker has the items in the wrong order."""

ARMS = """
name = "next"
[arms.warmer]
share = 0.4
explore = {slates = 1.0, temperature = 1.2, uncertain = 0.1}
[arms.greedy]
share = 0.4
explore = {slates = 1.0, temperature = 0.05}
"""


def drawn(policy):
    return slate(WORLD, range(ITEMS), SCORES, PLACES, "", False, policy).items


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A slate of each user, as `drain` writes it: two of three explored. A file of an earlier version has none."""
    random, shown, events, at = np.random.default_rng(1), {}, {}, time.time()
    for user in range(USERS):
        made = slate(WORLD, range(ITEMS), SCORES, PLACES, "", False, DrawPolicy(0.8, 0.1, 20, user))
        zeros, features = np.zeros(PLACES, np.float32), np.zeros((PLACES, len(FEATURES)), np.float32)
        places, sources = np.arange(PLACES, dtype=np.int16), np.zeros(PLACES, np.uint16)
        columns = made.items, places, zeros, sources, features
        explored = {"exploration": made.exploration, "arms": {"now": "curious"}} if user % 3 else {}
        if user == 0:  # a person forced the arm
            explored = {"exploration": made.exploration}
        shown[f"e{user}"] = Impression(
            "g1", str(user), at, at + user % 7 + user / USERS, "realtime", *columns, **explored
        )
        took = [row for row in made.items if random.random() < TAKEN[row]]
        events[str(user)] = [Event(str(user), row, at + 1) for row in took]
    table = to_table(shown, credited_events(shown, {}, events, 60.0), 60.0)
    day = tmp_path_factory.mktemp("impressions")
    for name, part in (
        ("date=2026-12-01", table),
        ("date=2026-11-01", table.drop_columns(["explored", "propensity", "exploration"])),
    ):
        (day / name).mkdir()
        pq.write_table(part, day / name / "1-0.parquet")
    return day


def run(folder, tmp_path, text=ARMS):
    (tmp_path / "next.toml").write_text(text)
    target = tmp_path / "found.json"
    arguments = ["--impressions", str(folder), "--experiment", str(tmp_path / "next.toml"), "--json", str(target)]
    return main(["offpolicy", *arguments]), target


def test_an_arm_is_judged_or_refused(folder, tmp_path, capsys):
    """A warmer draw has the reward that its own slates would have; a nearly greedy one has no overlap."""
    code, target = run(folder, tmp_path)
    assert code == 0
    printed, found = capsys.readouterr().out, json.loads(target.read_text())
    assert printed.startswith(f"{USERS * 2 // 3:,} explored slates of 2,000 users.")
    own = [TAKEN[drawn(DrawPolicy(1.2, 0.1, 20, seed))].sum() for seed in range(3_000, 6_000)]
    for name in ("inverse_propensity", "self_normalised", "doubly_robust"):
        assert found["warmer"][name]["low"] < np.mean(own) < found["warmer"][name]["high"]
    assert found["warmer"]["logged"]["value"] < np.mean(own) - 0.03
    assert found["warmer"]["doubly_robust"]["error"] < found["warmer"]["inverse_propensity"]["error"]
    assert "greedy: no estimate. The logged slates say no more about this policy's first place than" in printed


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name = 'a'\n[arms.b]\nshare = 1.0", "arms.b has no explore, generation or rules"),
        (f"{ARMS}mode = 'realtime'", "arms.greedy.mode can't be judged: the log has no slates that show its effect"),
        (f"{ARMS}generation = 'g9'", "There is no generation 'g9' in "),
        (
            ARMS.replace("uncertain = 0.1}", "fewer_than = 9}"),
            "explore.fewer_than is 9, and the log has slates with 20",
        ),
        ("name = 3", "next.toml: name is"),
    ],
)
def test_a_mistake_is_a_sentence(folder, tmp_path, capsys, text, sentence):
    """It names the field and the fix."""
    code, _ = run(folder, tmp_path, text)
    assert code == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("case", ["missing", "empty", "events", "damaged"])
def test_a_folder_without_impressions_is_a_sentence(folder, tmp_path, capsys, case):
    """Not an estimate without slates, whose advice would be wrong."""
    day = tmp_path / case / "date=2026-12-01"
    if case != "missing":
        day.mkdir(parents=True)
    if case == "events":
        pq.write_table(pa.table({"event_type": ["view"], "time": [1.0]}), day / "1-0.parquet")
    if case == "damaged":
        whole = next(folder.glob("*/*.parquet")).read_bytes()
        (day / "1-0.parquet").write_bytes(whole[: len(whole) // 2])
    assert run(tmp_path / case, tmp_path)[0] == 1
    error = capsys.readouterr().err.strip()
    sentence = {
        "missing": f"There is no folder {tmp_path / case}. ",
        "empty": f"There are no impressions in {tmp_path / case}: ",
        "events": f"{tmp_path / case} has events, no impressions. ",
        "damaged": f"{day / '1-0.parquet'} can't be read as Parquet: Parquet magic bytes not found in footer. ",
    }[case]
    assert sentence in error
    assert (len(error.splitlines()), error.count(str(tmp_path)), ".." in error) == (1, 1, False)


def test_where_the_figures_go_is_checked_first(folder, tmp_path, monkeypatch, capsys):
    """Before the files are read. A missing experiment is one sentence too, with its path once."""
    monkeypatch.setattr("training.offpolicy.offpolicy_command.read", None)
    arguments = ["offpolicy", "--impressions", str(folder), "--experiment", str(tmp_path / "none.toml")]
    assert main(arguments) == 1
    assert f"{tmp_path}/none.toml can't be read: No such file or directory.\n" in capsys.readouterr().err
    assert main([*arguments, "--json", str(tmp_path / "none" / "o.json")]) == 1
    assert f"there is no folder {tmp_path}/none to write to" in capsys.readouterr().err


def test_a_folder_without_explored_slates_has_no_estimate(folder, tmp_path, capsys):
    """The sentence says how slates explore; for a generation too."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "date=2026-11-01").symlink_to(folder / "date=2026-11-01")
    assert run(tmp_path / "plain", tmp_path)[0] == 0
    assert "warmer: no estimate. No slate explored. Give an arm" in capsys.readouterr().out
    assert main(["offpolicy", "--impressions", str(tmp_path / "plain"), "--generation", "g1"]) == 0
    assert "g1: no estimate. No slate explored. Give an arm" in capsys.readouterr().out


def test_a_wrong_folder_of_events_is_a_sentence(folder, tmp_path, capsys):
    """Not an estimate from histories without these events."""
    arguments = ["--impressions", str(folder), "--generation", "g1", "--events", str(tmp_path / "none")]
    assert main(["offpolicy", *arguments]) == 1
    assert f"--events: there are no collected events in {tmp_path}/none, no folder such as" in capsys.readouterr().err


def test_slates_of_a_generation_that_was_removed_are_left_out_of_rules(folder, tmp_path, capsys):
    """One of several generations of the log may be gone. A missing default folder of events is noted."""
    (tmp_path / "rules.toml").write_text("exclude_seen = true")
    arguments = ["--impressions", str(folder), "--rules", str(tmp_path / "rules.toml")]
    assert main(["offpolicy", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "2,000 slates left out, whose generation is not on this host." in printed
    assert f"There are no collected events in {folder.parent}/events: " in printed


def test_a_training_reads_the_newest_slates_of_a_day(folder):
    """A file has a whole day, so the limit holds within a file."""
    files = [Location(str(next(folder.glob("date=2026-12-01/*"))))]
    every = sorted((each.asked for each in read(files)), reverse=True)
    some = read(files, WantedExploredSlates(most=50))
    assert sorted((each.asked for each in some), reverse=True) == every[:50]
