"""The compiled features of the ranker, compared with plain numpy, and the compilation of kernels."""

import shutil
import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.slo import ROOT
from recsys import kernels, reference
from recsys.generation.item_tables import ItemTables
from recsys.generation.packed_strings import StringTable
from recsys.kernels.feature_kernels import ALIKE, ROW
from recsys.kernels.quantization import rounded
from recsys.kernels.recent_events import RecentEvents, item_events
from recsys.model import features
from recsys.model.context_lift import ContextLift, group_starts
from recsys.model.neighbour_tables import Neighbours
from recsys.model.ranker import CHUNK, Ranker, RankerNet
from recsys.model.towers import UserTower
from recsys.model.user_encoder import UserEncoder
from recsys.retrieval.retriever import Retriever
from recsys.types import CANDIDATES, CLOCK, CONTEXTS, EXTRA, FLAG_BITS, PAD, Candidates, Histories
from service.backends import wire


def test_each_feature_is_described():
    """`/explain` names features, and docs/features.md describes each of them."""
    described = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    between = {f"like_{step}" for step in range(2, ALIKE)}  # of `like_1` to the last
    assert [name for name in features.FEATURES if name not in between and f"`{name}`" not in described] == []


def tables_of(n, rng, width=6, dim=16):
    """Random tables with all values that a table may have."""

    def neighbours(width):
        rows = rng.integers(PAD, n, (n, width)).astype(np.int32)
        return Neighbours(rows, rng.random((n, width), np.float32))

    starts = group_starts([3, 30])
    embeddings = rng.normal(size=(n, dim)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    names = StringTable.pack(str(row) for row in range(n))
    return ItemTables(
        ids=names,
        titles=names,
        embeddings=embeddings,
        rounded=rounded(embeddings),
        content=rng.integers(0, 9, (n, 4)).astype(np.int32),
        available=np.ones(n, bool),
        popularity=(rng.random((n, 4), np.float32) * 100).round(),
        by_popularity=np.arange(n, dtype=np.int32),
        age=rng.random(n, np.float32) * 400,
        numbers=rng.random((n, 1)),
        own=rng.normal(size=(n, int(rng.integers(0, 3)))).astype(np.float32) * 50 + 100,
        covisit=neighbours(width),
        follow=neighbours(2),
        ease=neighbours(width) if rng.random() < 0.5 else Neighbours.none(n),
        context_lift=ContextLift(rng.normal(size=(n, int(starts[-1]))).astype(np.float32), starts),
    )


def queries(n, batch, rng):
    """Histories of all lengths, any number of candidates, equal scores."""
    past = Histories.empty(rng.random(batch) * 1e6 + 1.7e9)
    items = np.full((batch, CANDIDATES), PAD, np.int32)
    tower, sources = np.zeros(items.shape, np.float32), np.zeros(items.shape, np.uint16)
    for query in range(batch):
        length, count = int(rng.integers(0, 130)), int(rng.integers(0, min(n, CANDIDATES) + 1))
        times = np.sort(rng.random(length) * 1e7 + 1.69e9)
        past.put(query, rng.integers(0, n, length).astype(np.int32), times, np.zeros(length, np.uint8))
        items[query, :count] = rng.permutation(n)[:count]
        tower[query, :count] = np.sort(rng.normal(size=count).astype(np.float32).round(1))[::-1]
        sources[query, :count] = rng.integers(0, 1 << FLAG_BITS, count)
    past.context[:] = rng.integers(0, 3, (batch, CLOCK + CONTEXTS))
    return past, Candidates(items, tower, sources)


def events_before(now, n, rng):
    """Random counts by minute and by hour around some queries."""
    minutes = np.sort((rng.choice(now, 3_000) / 60 - rng.integers(-20, 1_600, 3_000)).astype(np.int64))
    items, counts = rng.integers(0, n, 3_000), rng.integers(1, 5, 3_000)
    return RecentEvents(*(item_events(items, minutes // step * step, counts, n) for step in (1, 60)))


@given(st.integers(0, 2**32 - 1), st.integers(2, 900), st.integers(1, 5), st.sampled_from([5, 16, 20]))
@settings(max_examples=60, deadline=None)
def test_the_kernels_compute_what_plain_numpy_does(seed, n, batch, dim):
    """Every feature of every candidate, for any tables, histories and equal scores."""
    rng = np.random.default_rng(seed)
    tables, (past, candidates) = tables_of(n, rng, dim=dim), queries(n, batch, rng)
    arguments = tables, past, candidates, events_before(past.now, n, rng)
    got, expected = features.build(*arguments), reference.build(*arguments)
    assert got.shape[2] == features.width(tables)
    for index, name in enumerate([*features.FEATURES, *["own"] * (2 * tables.own.shape[1])]):
        if name in VOTE_RANKS:
            assert_ranks(got[..., index], expected[..., ROW[VOTE_RANKS[name]]], candidates.items != PAD)
        else:
            np.testing.assert_allclose(
                got[..., index], expected[..., index], rtol=2e-6, atol=2e-5 if name == "own" else 2e-6, err_msg=name
            )


VOTE_RANKS = {"covisit_rank": "covisit_0.9", "ease_rank": "ease_0.9"}
"""Ranks of sums, which another order of summation may round differently."""


def assert_ranks(ranks, scores, real):
    """Every rank occurs once, and scores descend with it but for rounding."""
    for rank, score, there in zip(ranks, scores, real, strict=True):
        count = int(there.sum())
        order = np.argsort(rank[:count])
        np.testing.assert_allclose(rank[order], np.log1p(np.arange(count, dtype=np.float32)), rtol=1e-6)
        assert (np.diff(score[order]) <= 4e-6).all()
        assert (rank[count:] == 0).all()


def test_a_kernel_is_compiled_anew_where_one_that_it_calls_has_changed(tmp_path):
    """The cached caller would call the old version."""
    package = tmp_path / "recsys"
    shutil.copytree(ROOT / "recsys", package, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import numpy as np\n"
        "from recsys.kernels.candidate_lists import score\n"
        "from recsys.kernels.kernel_table import KernelTable\n"
        "embeddings = KernelTable(np.float32([[1, 1]]), np.zeros(0, np.int32), np.zeros((0, 2), np.float32))\n"
        "scores = np.empty((1, 1), np.float32)\n"
        "score(np.float32([[3, 4]]), embeddings, np.int32([[0]]), scores)\n"
        "print(scores[0, 0], sum(score.stats.cache_hits.values()))"
    )

    def output():
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert output() == ["7.0", "0"]
    assert output() == ["7.0", "1"]
    called = package / "kernels" / "matrix_product.py"
    called.write_text(called.read_text(encoding="utf-8").replace("total = np.float32(0)", "total = np.float32(5)"))
    assert output() == ["12.0", "0"]


def kinds():
    """For how many kinds of arrays each kernel was compiled."""
    return {
        (module.name, name): len(kernel.signatures)
        for module in iter_modules(kernels.__path__, "recsys.kernels.")
        for name, kernel in vars(import_module(module.name)).items()
        if hasattr(kernel, "signatures")
    }


def test_no_request_compiles_a_kernel_again():
    """Arrays have the same types for one query and for many, made in process and read from a call."""
    rng = np.random.default_rng(0)
    tables = tables_of(900, rng)
    retriever = Retriever(UserEncoder(UserTower(16, 4, contexts=[3] * CONTEXTS), tables.embeddings), tables, True)
    ranker, compiled = Ranker(RankerNet(), tables), None
    for batch in (1, 5):
        past, _ = queries(900, batch, rng)
        table = np.zeros(batch, wire.RANK)
        table["history_items"], table["times"], table["types"] = past.items, past.times, past.types
        table["now"], table["context"] = past.now, past.context
        hopped = wire.histories(np.frombuffer(bytearray(table.tobytes()), table.dtype))
        for histories in (past, hopped):
            found = retriever.retrieve(histories, np.full((batch, EXTRA), PAD, np.int32))
            ranker.score(histories, found)
            retriever.complete(histories, found.items, found.sources)
            retriever.place(histories, found.items[:, 0])
            compiled = compiled or kinds()
            assert kinds() == compiled


def test_features_and_scores_are_computed_together(monkeypatch):
    """They equal those computed alone, to the bit. An unknown row has no features."""
    rng = np.random.default_rng(0)
    tables, (past, candidates) = tables_of(900, rng), queries(900, CHUNK + 3, rng)
    ranker, place = Ranker(RankerNet(), tables), 5
    shorter = Candidates(*(np.delete(each, place, axis=1) for each in vars_of(candidates)))
    candidates.items[:, place] = 10**9
    build, built = features.columns, []
    monkeypatch.setattr(features, "columns", lambda *arguments: built.append(len(arguments[2])) or build(*arguments))
    found, scores = ranker.features_and_scores(past, candidates)
    assert built == [CHUNK, 3]
    np.testing.assert_array_equal(scores, ranker.score(past, candidates))
    assert not found[:, place].any()
    np.testing.assert_array_equal(np.delete(found, place, axis=1), features.build(tables, past, shorter))


def vars_of(candidates):
    """The columns."""
    return candidates.items, candidates.tower, candidates.sources
