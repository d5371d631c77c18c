"""The gate in the real flow, against a real store: what it must refuse it refuses, and says why with both figures."""

import re
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from recsys.environment import Environment
from recsys.errors import GateRefused
from recsys.store.from_environment import open_store
from recsys.store.memory.memory_store import MemoryStore
from recsys.store.ports import LIVE
from tests.flows.ring import log_of, ring
from tests.sample_data import tiny
from training.gate.dataset_profile import DataProfile, LiveGeneration


@pytest.fixture(scope="module")
def world(harness, tmp_path_factory):
    """A home in which the tiny world was run and went live: its environment, and what the run left behind."""
    from flows.train import run

    folder = tmp_path_factory.mktemp("gate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(folder / "tandem"))
        patch.delenv("REDIS_URL", raising=False)
        published = run(str(tiny.write(folder / "data")), "small", asdict(tiny.CONFIG))
        yield Environment.read(), published


def refused(world, data, config=tiny.CONFIG):
    """Run, be refused, and see that nothing changed in the store; the error."""
    from flows.train import run

    environment, published = world
    with pytest.raises(GateRefused) as caught:
        run(str(data), "small", asdict(config))
    with open_store(environment) as store:
        generations = store.generations()
        assert generations.generations() == [published.manifest.id]
        assert generations.alias(LIVE) == published.manifest.id
    assert caught.value.report.is_file()
    return caught.value


def line(error, name):
    """The sentence of the failed check `name`."""
    (found,) = [check["sentence"] for check in error.failed if check["name"] == name]
    assert f"  - {found}" in str(error).splitlines()
    return found


def test_a_good_run_passes_and_leaves_what_the_next_is_compared_with(world):
    """The checks are all there and passed, and the manifest has columns and scores for the next run."""
    _, published = world
    assert {check.verdict for check in published.checks} == {"passed", "not judged"}
    assert {"finite scores, tested", "finite scores, trained on everything"} <= {c.name for c in published.checks}
    manifest = published.manifest
    assert manifest.forced == []
    assert manifest.data["filled"] == {"title": 1.0, "categories": 1.0, "year": 1.0}
    assert sum(manifest.metrics["scores"]["histogram"]) == published.evaluation.queries
    assert published.report.name == f"{manifest.id}.html"


def test_shuffled_labels_are_refused(world, tmp_path):
    """Where each event has some other event's item the figures fall, and both are named."""
    data = tiny.write(tmp_path / "data")
    log = pd.read_csv(data / "interactions.csv")
    log["item_id"] = np.random.default_rng(0).permutation(log["item_id"])
    log.to_csv(data / "interactions.csv", index=False)
    error = refused(world, data)
    before = world[1].evaluation.served["recall@10"]
    told = line(error, "recall@10, all queries, live")
    ours, theirs = (float(figure) for figure in re.findall(r"\d\.\d{4}", told)[:2])
    assert ours < 0.3
    assert theirs == pytest.approx(before, abs=1e-4)
    assert "The gate refused this run" in error.report.read_text()


def test_a_test_that_is_harder_than_the_live_ones_is_not_held_against_the_new_model(world, tmp_path):
    """Where later events follow no pattern, the live generation is scored on them too, and both find as little."""
    data, rng = tiny.write(tmp_path / "data"), np.random.default_rng(0)
    log = pd.read_csv(data / "interactions.csv")
    later = log.sample(900, random_state=0).assign(item_id=rng.choice(log["item_id"].unique(), 900))
    later["timestamp"] = log["timestamp"].max() + 86_400 * np.sort(rng.uniform(0, 5, len(later)))
    pd.concat([log, later]).to_csv(data / "interactions.csv", index=False)
    error = refused(world, data)
    failed = {check["name"] for check in error.failed}
    assert "spread of the scores" in failed  # it learned from labels without a pattern
    assert not [name for name in failed if name.endswith(", live")]
    assert "queries that neither learned from" in error.report.read_text()


def test_a_live_generation_that_is_gone_is_no_reason_to_fail(tmp_path):
    """The reason stands in the place of the comparison."""
    from flows.steps.gate import load_live

    data, log = DataProfile("ring", 10, 3, 4), log_of(ring(users=10))
    found = load_live.fn(LiveGeneration("g1", data), data, log, MemoryStore(), tmp_path)
    assert found.live == "g1"
    assert found.reason.startswith("live can't be loaded (")


def test_a_tenth_of_the_rows_is_refused_before_anything_is_trained(world, tmp_path):
    """Users and rows are named with both figures, and no step of training was begun."""
    data = tiny.write(tmp_path / "data")
    log = pd.read_csv(data / "interactions.csv")
    log.iloc[: len(log) // 10].to_csv(data / "interactions.csv", index=False)
    error = refused(world, data)
    assert line(error, "rows").startswith(
        f"rows: {len(log) // 10:,}, and live {world[1].manifest.id} has {len(log):,};"
    )
    assert "recall" not in str(error)
    assert "Learning curves" not in error.report.read_text()


def test_an_empty_item_column_is_refused(world, tmp_path):
    """A column that lost its values is named with both shares."""
    data = tiny.write(tmp_path / "data")
    items = pd.read_csv(data / "items.csv")
    items.assign(genre="").to_csv(data / "items.csv", index=False)
    told = line(refused(world, data), "column categories")
    assert f"column categories: 0.0% of 75, and live {world[1].manifest.id} has 100.0%" in told


def test_half_a_catalogue_is_refused(world, tmp_path):
    """Where the items table lost rows, fewer events find their item, and the refusal shows two of those that do not."""
    data = tiny.write(tmp_path / "data")
    items = pd.read_csv(data / "items.csv")
    items[::2].to_csv(data / "items.csv", index=False)
    sentence = line(refused(world, data), "events described")
    assert "events whose item is in the items table ([items]): 5" in sentence
    assert re.search(r"The column 'item_id' of .*interactions.csv: row \d+ '[a-z]+-\d+' and row \d+ '", sentence)
