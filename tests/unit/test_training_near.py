"""Clusters of a generation's items, and whether they are taken."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from recsys import soundness
from recsys.errors import GenerationError
from recsys.generation import GenerationFolder
from recsys.index import ExactIndex
from recsys.near import NearIndex
from recsys.retriever import Retriever
from recsys.rounded import rounded
from recsys.trial import try_out
from recsys.types import CANDIDATES, PAD
from tests import tiny
from tests.put_items import hide, item, putting
from tests.unit.test_features import tables_of
from tests.unit.test_soundness import change, seal
from training import dataset, near
from training.clustering import clustered
from training.export import export
from training.log import encode
from training.recipe import train


def bunches(n, rng, dim=16, centres=40, wide=0.05):
    """Items that lie in clusters."""
    middles = rng.normal(size=(centres, dim))
    items = middles[rng.integers(0, centres, n)] + wide * rng.normal(size=(n, dim))
    return (items / np.linalg.norm(items, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("n", "count"), [(3_000, 60), (50, 60), (1, 4), (200, 1)])
def test_each_item_is_in_the_cluster_whose_centre_is_nearest(n, count):
    """Once, and the same again by the same seed."""
    items = bunches(n, np.random.default_rng(0))
    centres, rows, starts = clustered(items, count, 0)
    assert len(centres) == min(n, count)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, rtol=1e-5)
    assert sorted(rows.tolist()) == list(range(n))
    assert (starts[0], starts[-1], len(starts)) == (0, n, len(centres) + 1)
    best = (items @ centres.T).max(1)
    for cluster in range(len(centres)):
        of = rows[starts[cluster] : starts[cluster + 1]]
        np.testing.assert_allclose(items[of] @ centres[cluster], best[of], atol=1e-6)
    for ours, theirs in zip(clustered(items, count, 0), (centres, rows, starts), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_items_that_are_all_alike_have_clusters_too():
    """Of which all but some are empty, and none is of nothing."""
    items = np.ones((100, 4), np.float32) / 2
    centres, rows, starts = clustered(items, 9, 0)
    assert np.isfinite(centres).all()
    assert len(rows) == starts[-1] == 100


def world(items, rng):
    """Tables with these embeddings, and users near them."""
    tables = tables_of(len(items), rng, dim=items.shape[1])
    users = bunches(64, rng, items.shape[1])
    users[:32] = items[:32]
    return replace(tables, embeddings=items, rounded=rounded(items)), users


def test_clusters_are_taken_where_they_find_nearly_all_and_pay(monkeypatch):
    """The least that find enough, and what is said is what was measured."""
    monkeypatch.setattr(near, "TIMES", 0.0)
    rng = np.random.default_rng(0)
    tables, users = world(bunches(20_000, rng, wide=0.5), rng)
    choice = near.choose(tables, users, 0)
    assert choice.clusters is not None
    index = NearIndex(tables.embeddings, tables.available, tables.rounded, choice.clusters)
    best = ExactIndex(tables.embeddings, tables.available, tables.rounded).search(users, CANDIDATES)
    found = near.recall(index.search(users, CANDIDATES), best)
    fewer = index.through(index.clusters.probes // 2)
    assert near.recall(fewer.search(users, CANDIDATES), best) < near.RECALL <= found
    told = (
        f"Searched by clusters: {index.clusters.probes} of {len(index.clusters)} clusters find {found:.1%} of the best"
    )
    assert choice.sentence.startswith(told)


@pytest.mark.parametrize(
    ("items", "times", "told"),
    [
        (lambda rng: bunches(3_000, rng, 64, 3_000), 0.0, "no half of the clusters finds 98% of the best 200"),
        (lambda rng: bunches(3_000, rng), 1e9, "and 1e+09 times are asked for"),
    ],
)
def test_exact_search_stays_where_they_do_not(items, times, told, monkeypatch):
    """And it is said why."""
    monkeypatch.setattr(near, "TIMES", times)
    rng = np.random.default_rng(1)
    choice = near.choose(*world(items(rng), rng), 0)
    assert choice.clusters is None
    assert choice.sentence.startswith("Searched exactly: ")
    assert told in choice.sentence


@pytest.mark.parametrize("batch", [1, 32])
def test_times_are_how_many_times_as_long_the_first_takes(batch, monkeypatch):
    """For the same users, so many at once."""
    clock, asked = [0.0], []
    monkeypatch.setattr(near.time, "thread_time", lambda: clock[0])

    def search(seconds):
        def work(users):
            asked.append(len(users))
            clock[0] += seconds * len(users)

        return work

    users = np.zeros((64, 4), np.float32)
    assert near.times(search(3.0), search(0.5), users, batch) == 6.0
    assert set(asked) == {batch}


def test_recall_is_of_the_best_alone():
    """Whatever else is found."""
    best = np.arange(2 * near.TOP)[None]
    found = np.concatenate([np.arange(near.TOP // 2), np.arange(1000, 2000)])[None]
    assert near.recall(found, best) == 0.5
    assert near.recall(best[:, ::-1], best) == 0.0


@pytest.fixture(scope="module")
def searched_by_clusters(tmp_path_factory):
    """A generation of a dataset that asks for it, however little they find; its log and what was trained."""
    folder = tmp_path_factory.mktemp("near")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "TIMES", 0.0)
        patch.setattr(near, "RECALL", 0.0)
        patch.setattr(near, "CANDIDATES", 3)
        torch.manual_seed(0)
        data = tiny.write(folder / "data")
        mapping = data / "dataset.toml"
        mapping.write_text(mapping.read_text() + '[settings]\nsearch = "near"\n', encoding="utf-8")
        log = encode(dataset.read(data))
        trained = train(log, tiny.CONFIG)
    return export(folder / "generations", log, trained, tiny.CONFIG, "tiny"), log, trained


def test_a_dataset_that_asks_for_it_is_searched_by_clusters(searched_by_clusters):
    """From the mapping to what is served, which finds what was found when it was made: not what exact search does."""
    generation, log, trained = searched_by_clusters
    try_out(generation)
    served = Retriever.load(generation)
    assert generation.manifest.metrics["warnings"][-1].startswith("Searched by clusters: 2 of ")
    users = trained.stage.encoder.encode(log.final_histories(np.arange(60)))
    found = served._index.search(users, 5)
    np.testing.assert_array_equal(found, trained.stage.retriever._index.search(users, 5))
    tables = trained.stage.tables
    assert (found != ExactIndex(tables.embeddings, tables.available).search(users, 5)).any()


def test_what_is_put_since_is_found_beside_the_near(searched_by_clusters):
    """And what is hidden is not."""
    generation, log, _ = searched_by_clusters
    served, histories = Retriever.load(generation), log.final_histories(np.arange(60))
    users = served._encoder.encode(histories)
    first = served._index.search(users, 1)[:, 0]
    hidden = str(served._tables.ids[int(first[0])])
    grown = served.with_items(putting(hide(hidden, 1), item("new", 2, "drama", year=2000)))
    assert first[0] not in grown._index.search(users, 5)
    assert (grown._index.fresh(users, 1) != PAD).all()


@pytest.mark.parametrize(
    ("part", "how", "told"),
    [
        ("centres", lambda of: of[:, 1:], "clusters.centres"),
        ("centres", lambda of: of * np.nan, "clusters.centres holds numbers"),
        ("centres", lambda of: of * 2, "centres of clusters are not of length 1"),
        ("rows", lambda of: of[1:], "clusters.rows is int32"),
        ("rows", lambda of: of.astype(np.int64), "clusters.rows is int64"),
        ("rows", np.zeros_like, "clusters.rows does not name"),
        ("rows", lambda of: of - 1, "clusters.rows does not name"),
        ("starts", lambda of: of[:-1], "clusters.starts is int64"),
        ("starts", lambda of: of + 1, "clusters.starts does not part"),
        ("starts", lambda of: np.concatenate([of[:1], [10**6], of[2:]]), "clusters.starts does not part"),
        ("probes", lambda _: np.array(0), "0 of "),
        ("probes", lambda _: np.array(10**6), "1000000 of "),
        ("probes", lambda _: np.array([1, 2]), "can't be read"),
    ],
)
def test_clusters_of_something_else_are_refused(searched_by_clusters, part, how, told, tmp_path):
    """Before a kernel goes through them."""
    folder = GenerationFolder(shutil.copytree(searched_by_clusters[0].path, tmp_path / "copy"))
    with pytest.raises(GenerationError, match=told):
        soundness.check(change(folder, f"clusters.{part}.npy", how))


@pytest.mark.parametrize("part", ["centres", "rows", "starts", "probes"])
def test_clusters_of_which_a_part_is_missing_are_refused(searched_by_clusters, part, tmp_path):
    """They are not taken for none."""
    folder = GenerationFolder(shutil.copytree(searched_by_clusters[0].path, tmp_path / "copy"))
    (folder.path / f"clusters.{part}.npy").unlink()
    with pytest.raises(GenerationError, match="can't be read"):
        soundness.check(seal(folder))
