"""A run of `train` whose ranker learns from slates that users were shown, by the command `run` in this process."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import redis

from flows.__main__ import main
from flows.collection.credited_events import credited_events
from flows.drain import to_table
from recsys.lists.impression import Impression
from recsys.model.features import FEATURES
from recsys.rules.exploration import DrawPolicy
from recsys.types import Event
from tests.fakes.plain_slate import Catalogue, slate
from tests.flows.ring_dataset import START, ring, write
from tests.sample_data import shown_slates
from training.read.impressions import PREFIX

DAY = 86_400.0


@pytest.fixture
def home(shop):
    """The home of a run, over an empty store."""
    with redis.Redis.from_url(shop.url) as client:
        client.flushall()
    return shop.home


def test_many_slates_that_contradict_the_log_decide_the_ranker(home, tmp_path, capsys):
    """Users of the slates take the item that the towers hold for the worst. Another dataset's slates change nothing.

    The log alone has too few queries for a ranker.
    """
    data = write(tmp_path / "data", ring(users=300))
    mapping = data / "dataset.toml"
    mapping.write_text(mapping.read_text() + "[collected]\nimpressions = true\n")
    folder, tower = home / "impressions", PREFIX + "tower"
    for seed, (name, sign) in enumerate((("ring", -1), ("other", 1))):
        rows = shown_slates.slates(3_000, (START, START + 9 * DAY), seed, name)
        shown_slates.write(folder, shown_slates.take(rows, sign * rows[tower]))
    settings = [f"--set=ranker.{name}" for name in ("minimum=50", "doubtful=2000")]
    settings += ["--config=small", "--set=tower.epochs=4"]
    assert main(["run", "--data", str(data), "--force", "--json", *settings]) == 0
    result = json.loads(capsys.readouterr().out)
    found, rows = result["evaluation"]["impressions"], result["evaluation"]["rows"]
    assert (found["trained"], found["held"], found["serves"]) == (2_699, 300, True)
    assert found["ours"] > found["theirs"] + 0.2
    assert rows["two_stage"]["ndcg@10"] != rows["without_impressions"]["ndcg@10"]
    (sentence,) = [check["sentence"] for check in result["gate"] if check["name"] == "impressions"]
    assert sentence in result["notes"]
    assert sentence in Path(result["report"]).read_text()


def explored(folder, frame, items=40, k=3):
    """A slate of each user after the log, drawn around the next item of the ring. Users take that item most."""
    random, world, now = np.random.default_rng(4), Catalogue([["Drama"]] * items), float(frame["timestamp"].max()) + 60
    shown, taken, zeros = {}, {}, (np.zeros(k, np.float32), np.zeros(k, np.uint16))
    for user, last in frame.groupby("user_id")["item_id"].last().items():
        scores = np.where(np.arange(items) == (last + 1) % items, 1.0, random.normal(0, 0.1, items))
        made = slate(world, range(items), scores, k, "", False, DrawPolicy(1.5, 0.0, 20, user))
        columns = made.items, np.arange(k, dtype=np.int16), *zeros, np.zeros((k, len(FEATURES)), np.float32)
        more = {"arms": {"x": "y"}, "dataset": "ring", "exploration": made.exploration}
        shown[f"{user:05}-0"] = Impression("g1", str(user), now, now, "realtime", *columns, **more)
        took = [row for row in made.items if random.random() < (0.9 if row == (last + 1) % items else 0.05)]
        taken[str(user)] = [Event(str(user), row, now + 1) for row in took]
    (folder / "date=2023-11-30").mkdir(parents=True)
    table = to_table(shown, credited_events(shown, {}, taken, 60.0), 60.0)
    pq.write_table(table, folder / "date=2023-11-30" / "1-0.parquet")


def test_a_model_that_explored_slates_speak_against_is_refused(home, tmp_path, capsys):
    """The logged policy shows the next item of the ring more often than the model would, and users take that item."""
    frame = ring(users=2_200)
    data = write(tmp_path / "data", frame)
    mapping = data / "dataset.toml"
    mapping.write_text(mapping.read_text() + "[collected]\nimpressions = true\n")
    explored(home / "impressions", frame)
    settings = [*(f"--set=ranker.{name}" for name in ("minimum=50", "doubtful=0")), "--set=tower.epochs=8"]
    assert main(["run", "--data", str(data), "--config=small", "--json", *settings]) == 1
    (failed,) = [
        each for each in json.loads(capsys.readouterr().out)["error"]["failed"] if each["name"] == "explored slates"
    ]
    assert failed["ours"] < failed["bound"] == 0
    assert "items taken in place" in failed["sentence"]
