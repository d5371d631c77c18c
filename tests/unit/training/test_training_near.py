"""Clusters of a generation's items, and whether they are taken."""

import shutil
import time
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch

from recsys.errors import GenerationError
from recsys.generation import soundness
from recsys.generation.cache import GenerationCache
from recsys.generation.loader import try_out
from recsys.generation.manifest import GenerationFolder
from recsys.retrieval import retriever
from recsys.retrieval.cluster_search import NearIndex
from recsys.retrieval.index import ExactIndex
from recsys.retrieval.int8_embeddings import rounded
from recsys.retrieval.retriever import Retriever
from recsys.store.memory.memory_store import MemoryStore
from recsys.types import PAD
from tests.sample_data import tiny
from tests.sample_data.put_items import hide, item, putting
from tests.unit.generation.test_soundness import change, seal
from tests.unit.model.test_features import tables_of
from training.data import dataset
from training.data.interaction_log import encode
from training.export import export
from training.recipe import train
from training.tables import search_choice
from training.tables.clustering import clustered


def bunches(n, rng, dim=16, centres=40, wide=0.05):
    """Items that lie in clusters."""
    middles = rng.normal(size=(centres, dim))
    items = middles[rng.integers(0, centres, n)] + wide * rng.normal(size=(n, dim))
    return (items / np.linalg.norm(items, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("n", "clusters"), [(3_000, 60), (50, 60), (1, 4), (200, 1)])
def test_each_item_is_in_the_cluster_whose_centre_is_nearest(n, clusters):
    """Once, and the same again by the same seed."""
    items = bunches(n, np.random.default_rng(0))
    centres, rows, starts = clustered(items, clusters, 0)
    assert len(centres) == min(n, clusters)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, rtol=1e-5)
    assert sorted(rows.tolist()) == list(range(n))
    assert (starts[0], starts[-1], len(starts)) == (0, n, len(centres) + 1)
    best = (items @ centres.T).max(1)
    for cluster in range(len(centres)):
        of = rows[starts[cluster] : starts[cluster + 1]]
        np.testing.assert_allclose(items[of] @ centres[cluster], best[of], atol=1e-6)
    for ours, theirs in zip(clustered(items, clusters, 0), (centres, rows, starts), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def world(items, rng, available=None):
    """Tables with these embeddings, and who is asked for: users near them."""
    tables = tables_of(len(items), rng, dim=items.shape[1])
    if available is not None:
        tables = replace(tables, available=available)
    users = bunches(64, rng, items.shape[1])
    users[:32] = items[:32]
    return replace(tables, embeddings=items, rounded=rounded(items)), search_choice.Asked(users, users[-1:])


def test_clusters_are_taken_where_few_of_them_find_nearly_all(monkeypatch):
    """The fewest that find enough are taken whatever a clock on the host says, and the sentence has their figures."""
    monkeypatch.setattr(search_choice, "READ", 1.0)
    ticks = count(0.0, -1.0)  # by this clock, the second of two searches takes longer
    monkeypatch.setattr(time, "thread_time", lambda: next(ticks))
    rng = np.random.default_rng(0)
    tables, asked = world(bunches(20_000, rng, wide=0.5), rng)
    choice = search_choice.choose(tables, asked, 0)
    assert choice.clusters is not None
    index = NearIndex(tables.embeddings, tables.available, tables.rounded, choice.clusters)
    exact = ExactIndex(tables.embeddings, tables.available, tables.rounded)

    def found(index):
        return [
            search_choice.recall(index.search(some, search_choice.TOP), exact.search(some, search_choice.TOP))
            for some in (asked.users, asked.new)
        ]

    assert index.clusters.probes > search_choice.least_probes(len(index.clusters), len(tables))
    fewer = index.through(index.clusters.probes // 2)
    assert min(found(fewer)) < search_choice.RECALL <= min(found(index))
    probes, clusters = index.clusters.probes, len(index.clusters)
    users, new = map(search_choice._percent, found(index))
    told = f"Searched by clusters: of the best 200 items {probes} of {clusters} clusters find {users} of those for "
    told += f"users, {new} of those for somebody new, reading "
    assert choice.sentence.startswith(told)


@pytest.mark.parametrize(
    ("items", "share", "told"),
    [
        (lambda rng: bunches(3_000, rng, 64, 3_000), 0.5, "and 98% within 50% of all items are needed"),
        (lambda rng: bunches(900, rng), 0.5, "so few items (900)"),
        (lambda rng: bunches(1, rng), 0.5, "so few items (1)"),
    ],
)
def test_exact_search_stays_where_they_do_not(items, share, told, monkeypatch):
    """Where too few of the best are found, or too many items are read, the sentence says so."""
    monkeypatch.setattr(search_choice, "READ", share)
    rng = np.random.default_rng(1)
    choice = search_choice.choose(*world(items(rng), rng), 0)
    assert choice.clusters is None
    assert choice.sentence.startswith("Searched exactly: ")
    assert told in choice.sentence


@pytest.fixture(scope="module")
def searched_by_clusters(tmp_path_factory):
    """A generation of a dataset that asks for it, however little they find; its log and what was trained."""
    folder = tmp_path_factory.mktemp("near")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_choice, "READ", 1.0)
        patch.setattr(search_choice, "RECALL", 0.0)
        patch.setattr(search_choice, "CANDIDATES", 3)
        patch.setattr(search_choice, "TOP", 3)
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
    told = generation.manifest.metrics["warnings"][-1]
    assert told.startswith("Searched by clusters: of the best 3 items 2 of 34 clusters find ")
    users = trained.stage.encoder.encode(log.final_histories(np.arange(60)))
    found = served._index.search(users, 5)
    assert served._index.clusters.probes == 2
    np.testing.assert_array_equal(found, trained.stage.retriever._index.search(users, 5))
    tables = trained.stage.tables
    assert (found != ExactIndex(tables.embeddings, tables.available).search(users, 5)).any()


def test_clusters_go_through_the_store(searched_by_clusters, tmp_path):
    """All parts of them, from one home to another."""
    generation, log, _ = searched_by_clusters
    store = MemoryStore()
    there = GenerationCache(tmp_path, store).fetch(tiny.publish(generation, store))
    users = Retriever.load(generation)._encoder.encode(log.final_histories(np.arange(9)))
    ours, theirs = (Retriever.load(folder)._index for folder in (there, generation))
    assert isinstance(ours, NearIndex)
    np.testing.assert_array_equal(ours.search(users, 5), theirs.search(users, 5))


def test_what_an_item_is_like_is_looked_for_among_all(searched_by_clusters, monkeypatch):
    """Clusters are measured for users: of items they may hold less, also when others were put since."""
    monkeypatch.setattr(retriever, "CANDIDATES", 5)
    monkeypatch.setattr(retriever, "NEIGHBOURS", 2)  # so that three are looked for, and the near are enough
    served = Retriever.load(searched_by_clusters[0])
    exact = Retriever(served._encoder, served._tables, True)
    grown = served.with_items(putting(item("new", 2, "drama", year=2000)))
    users, rows = np.array(served._tables.embeddings[:60]), np.arange(60)
    assert (served._index.search(users, 3)[:, 1:] != exact._index.search(users, 3)[:, 1:]).any()
    for row in rows:
        ours, theirs = served.similar(row)[0], exact.similar(row)[0]
        np.testing.assert_array_equal(ours.items, theirs.items)
    found = grown._index.search(users, 3, exactly=True)
    old = (found < len(served._tables)).all(1)
    assert old.any()
    np.testing.assert_array_equal(found[old], exact._index.search(users, 3)[old])


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
        ("starts", lambda of: np.concatenate([of[:1], [2**62, 2**63 - 1, -(2**63)], of[4:]]), "starts does not"),
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
