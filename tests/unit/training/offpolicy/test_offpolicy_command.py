"""`python -m training offpolicy` on files of `drain`: an estimate near a known truth, and mistakes as sentences."""

import json
import time

import numpy as np
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
        (f"{ARMS}generation = 'g9'", "There is no generation 'g9' in "),
        (
            ARMS.replace("uncertain = 0.1}", "fewer_than = 9}"),
            "explore.fewer_than is 9, and the log has slates with 20",
        ),
    ],
)
def test_a_mistake_is_a_sentence(folder, tmp_path, capsys, text, sentence):
    """It names the field and the fix."""
    code, _ = run(folder, tmp_path, text)
    assert code == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("case", ["missing", "damaged"])
def test_a_folder_without_impressions_is_a_sentence(folder, tmp_path, capsys, case):
    """Not an estimate without slates, whose advice would be wrong."""
    day = tmp_path / case / "date=2026-12-01"
    if case != "missing":
        day.mkdir(parents=True)
    if case == "damaged":
        whole = next(folder.glob("*/*.parquet")).read_bytes()
        (day / "1-0.parquet").write_bytes(whole[: len(whole) // 2])
    assert run(tmp_path / case, tmp_path)[0] == 1
    error = capsys.readouterr().err.strip()
    sentence = {
        "missing": f"There is no folder {tmp_path / case}. ",
        "damaged": f"{day / '1-0.parquet'} can't be read as Parquet: Parquet magic bytes not found in footer. ",
    }[case]
    assert sentence in error
    assert (len(error.splitlines()), error.count(str(tmp_path)), ".." in error) == (1, 1, False)
