"""The flow `train` with its gate, against a real store: what a good run leaves behind, and which runs are refused."""

import re
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from recsys.environment import Environment
from recsys.errors import GateRefused
from recsys.store import open_store
from recsys.store.stored_types import LIVE
from tests.sample_data import tiny
from training.fit.first_stage import FirstStage


@pytest.fixture(scope="module")
def world(harness, tmp_path_factory):
    """The environment and the result of a run on the tiny world, whose generation is live."""
    from flows.train import run

    folder = tmp_path_factory.mktemp("gate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_HOME", str(folder / "tandem"))
        patch.delenv("REDIS_URL", raising=False)
        result = run(str(tiny.write(folder / "data")), "small", asdict(tiny.CONFIG))
        yield Environment.read(), result


def refused(world, data):
    """Run on `data`, assert that the gate refuses and the store is unchanged, and return the error."""
    from flows.train import run

    environment, result = world
    with pytest.raises(GateRefused) as caught:
        run(str(data), "small", asdict(tiny.CONFIG))
    with open_store(environment) as store:
        generations = store.generations()
        assert generations.generations() == [result.manifest.id]
        assert generations.alias(LIVE) == result.manifest.id
    assert caught.value.report.is_file()
    return caught.value


def sentence_of(error, name):
    """The sentence of the failed check `name`."""
    (found,) = [check["sentence"] for check in error.failed if check["name"] == name]
    assert f"  - {found}" in str(error).splitlines()
    return found


def test_a_good_run_passes_and_records_what_the_next_run_is_compared_with(world):
    """All checks pass, and the manifest has the filled columns and the scores."""
    _, result = world
    assert {check.verdict for check in result.checks} == {"passed", "not judged"}
    assert {"finite scores, tested", "finite scores, trained on everything"} <= {c.name for c in result.checks}
    manifest = result.manifest
    assert manifest.forced == []
    assert manifest.data["filled"] == {"title": 1.0, "categories": 1.0, "year": 1.0}
    assert sum(manifest.metrics["scores"]["histogram"]) == result.evaluation.queries
    assert manifest.metrics["past"] == []
    assert result.report.name == f"{manifest.id}.html"


def test_the_live_generation_is_scored_on_the_queries_of_the_new_test(world, tmp_path):
    """If the later events follow no pattern, both models find little, and no comparison with live fails."""
    data, rng = tiny.write(tmp_path / "data"), np.random.default_rng(0)
    log = pd.read_csv(data / "interactions.csv")
    later = log.sample(900, random_state=0).assign(item_id=rng.choice(log["item_id"].unique(), 900))
    later["timestamp"] = log["timestamp"].max() + 86_400 * np.sort(rng.uniform(0, 5, len(later)))
    pd.concat([log, later]).to_csv(data / "interactions.csv", index=False)
    error = refused(world, data)
    failed = {check["name"] for check in error.failed}
    assert [name for name in failed if name.endswith("best baseline")]  # there is no pattern to learn
    assert not [name for name in failed if name.endswith(", live")]
    page = error.report.read_text()
    assert "queries that neither learned from" in page
    assert "The gate refused this run" in page


def test_a_published_model_with_permuted_embeddings_is_refused(world, tmp_path, monkeypatch):
    """The tested model passes; the one trained on everything has the embeddings of other items in its tables."""
    from flows import train

    def permuted(*args):
        trained = train_on_everything(*args)
        stage, order = trained.stage, np.random.default_rng(0).permutation(len(trained.stage.tables))
        tables = replace(stage.tables, embeddings=stage.tables.embeddings[order], rounded=stage.tables.rounded[order])
        return replace(trained, stage=FirstStage.over(stage.towers, tables, stage.exclude_seen))

    train_on_everything = train.train_on_everything
    monkeypatch.setattr(train, "train_on_everything", permuted)
    error = refused(world, tiny.write(tmp_path / "data"))
    failed = {check["name"] for check in error.failed}
    assert failed >= {"recall@10 of tower, trained on everything", "ndcg@10 of tower, trained on everything"}
    assert all(name.endswith("trained on everything") for name in failed)


def test_a_smaller_log_and_a_damaged_catalogue_are_refused_before_the_training(world, tmp_path):
    """A tenth of the rows and half of the items table: each failed check has both figures, or two rows of the file."""
    data = tiny.write(tmp_path / "data")
    log, items = pd.read_csv(data / "interactions.csv"), pd.read_csv(data / "items.csv")
    log.iloc[: len(log) // 10].to_csv(data / "interactions.csv", index=False)
    items[::2].to_csv(data / "items.csv", index=False)
    error = refused(world, data)
    rows = f"rows: {len(log) // 10:,}, and live {world[1].manifest.id} has {len(log):,};"
    assert sentence_of(error, "rows").startswith(rows)
    described = sentence_of(error, "events described")
    assert re.search(r"The column 'item_id' of .*interactions.csv: row \d+ '[a-z]+-\d+' and row \d+ '", described)
    assert "recall" not in str(error)
    assert "Learning curves" not in error.report.read_text()
