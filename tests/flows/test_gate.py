"""The gate in the real flow, against a real store: what it must refuse it refuses, and says why with both figures."""

import logging
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recsys.environment import Environment
from recsys.errors import GateRefused
from recsys.generation import Manifest
from recsys.store.base import LIVE
from recsys.store.connect import open_store
from tests import tiny
from training.watch import unwatched


@pytest.fixture(scope="module")
def world(harness, tmp_path_factory):
    """A home in which the tiny world was run and went live: its environment, and what the run left behind."""
    from flows.run import run

    folder = tmp_path_factory.mktemp("gate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(folder / "tandem"))
        patch.delenv("REDIS_URL", raising=False)
        published = run(str(tiny.write(folder / "data")), tiny.CONFIG, False, unwatched)
        yield Environment.read(), published


def refused(world, data, config=tiny.CONFIG):
    """Run, be refused, and see that nothing changed in the store; the error."""
    from flows.run import run

    environment, published = world
    with pytest.raises(GateRefused) as caught:
        run(str(data), config, False, unwatched)
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


@pytest.mark.parametrize("column", ["genre", "year", "title"])
def test_an_empty_item_column_is_refused(world, tmp_path, column):
    """A column that lost its values is named with both shares, whatever kind of column it is."""
    data = tiny.write(tmp_path / "data")
    items = pd.read_csv(data / "items.csv")
    items.assign(**{column: ""}).to_csv(data / "items.csv", index=False)
    name = {"genre": "categories"}.get(column, column)
    told = line(refused(world, data), f"column {name}")
    assert f"column {name}: 0.0% of 75, and live {world[1].manifest.id} has 100.0%" in told


def test_half_a_catalogue_is_refused(world, tmp_path):
    """Where the items table lost rows, fewer events find their item, and the refusal shows two of those that do not."""
    data = tiny.write(tmp_path / "data")
    items = pd.read_csv(data / "items.csv")
    items[::2].to_csv(data / "items.csv", index=False)
    sentence = line(refused(world, data), "events described")
    assert "events whose item is in the items table ([items]): 5" in sentence
    assert re.search(r"The column 'item_id' of .*interactions.csv: row \d+ '[a-z]+-\d+' and row \d+ '", sentence)


def test_a_worse_model_is_refused(world, tmp_path):
    """Towers and a ranker that were never trained are worse than what is live, and worse than EASE."""
    config = replace(
        tiny.CONFIG, tower=replace(tiny.CONFIG.tower, epochs=0), ranker=replace(tiny.CONFIG.ranker, epochs=0)
    )
    error = refused(world, tiny.write(tmp_path / "data"), config)
    for name in ("recall@10, all queries, live", "ndcg@10, all queries, best baseline"):
        assert "would pass" in line(error, name)


def test_force_promotes_and_is_written_down(world, tmp_path):
    """What was refused goes live with --force; the manifest, the run's log and the report say past what."""
    from flows.run import run

    environment, before = world
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    loggers = [logging.getLogger(name) for name in ("prefect.flow_runs", "prefect.task_runs")]
    for logger in loggers:
        logger.addHandler(handler)
    data = tiny.write(tmp_path / "data")
    items = pd.read_csv(data / "items.csv")
    items.assign(year="").to_csv(data / "items.csv", index=False)
    try:
        published = run(str(data), tiny.CONFIG, True, unwatched)
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
    (sentence,) = published.manifest.forced
    assert sentence.startswith("items with a value in column year: 0.0% of 75")
    assert f"The gate: {sentence}" in told
    assert any(line.startswith("Forced past the gate (--force)") for line in told)
    assert "Forced past the gate." in published.report.read_text()
    with open_store(environment) as store:
        generations = store.generations()
        assert generations.alias(LIVE) == published.manifest.id != before.manifest.id
        assert Manifest.from_json(generations.read_manifest(published.manifest.id)).forced == [sentence]
