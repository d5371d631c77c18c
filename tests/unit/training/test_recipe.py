"""The recipe on a small log: the model learns, and its generation is complete and reads back."""

import json

import numpy as np
import pytest
import torch

from recsys.model.ranker import RankerNet
from recsys.retrieval.registry import RETRIEVED
from recsys.retrieval.retriever import Retriever
from recsys.types import HISTORY_LENGTH
from tests.flows.ring_dataset import log_of, quick, ring
from training import recipe
from training.export.generation import Origin, export
from training.export.user_records import precompute
from training.judge.replay import ReplayedModel
from training.rank.fit_ranker import FITTED, ORDERS


@pytest.fixture(scope="module")
def world():
    """A model of a ring with string ids and three columns, and its log."""
    torch.manual_seed(0)
    log = log_of(ring(users=150, strings=True))
    return log, recipe.train(log, quick())


def test_a_log_too_small_for_a_ranker_has_a_warning_and_a_generation(tmp_path):
    """Two hundred rows give a complete generation whose ranker is a simple order, which a warning names."""
    log = log_of(ring(users=100, steps=2, strings=True))
    trained = recipe.train(log, quick())
    assert "untrained" in trained.evaluation.warnings[0]
    folder = export(tmp_path, log, trained, quick(), Origin("tiny"))
    assert "untrained" in folder.verify(users=True).metrics["warnings"][0]
    assert any(f"ordered by {order}," in trained.evaluation.warnings[0] for order in (*ORDERS, FITTED))
    best = precompute(log, np.arange(5), ReplayedModel.of(log, trained.stage, trained.net, log), 10)
    assert all(len(set(slate.tolist())) == 10 for slate in best)


def test_a_generation_is_complete_and_reads_back(world, tmp_path):
    """An exported generation verifies and loads with the same scores."""
    log, trained = world
    assert "; seen items out;" in trained.evaluation.to_markdown()
    folder = export(tmp_path, log, trained, quick(), Origin("ring", bad_rows=3))
    manifest = folder.verify(users=True)
    assert manifest.dims == {"items": 40, "embedding": 16, "users": 150, "history": HISTORY_LENGTH, "candidates": 10}
    of_data = {"exclude_seen": True, "item_id_type": "str", "user_id_type": "str"}
    assert manifest.settings == {"sources": [source.name for source in RETRIEVED], **of_data}
    assert manifest.data["bad_rows"] == 3
    assert manifest.metrics["two_stage"] == trained.evaluation.served
    json.loads(manifest.to_json())

    tables = folder.tables()
    assert list(tables.ids) == log.catalogue.ids.tolist()
    np.testing.assert_array_equal(tables.covisit.rows, trained.stage.tables.covisit.rows)
    histories = log.final_histories(np.arange(20))
    loaded = Retriever.load(folder).retrieve(histories)
    np.testing.assert_array_equal(loaded.items, trained.stage.retriever.retrieve(histories).items)
    x = torch.randn(3, len(trained.net.mean))
    assert torch.equal(RankerNet.load(folder.path / "ranker.safetensors")(x), trained.net(x))
