"""The exact index against the scores of every item, by each of its scans."""

import subprocess
import sys
import time
from itertools import accumulate, count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.fresh_items.extended_column import table
from recsys.kernels import asking, search
from recsys.kernels.products import LANES
from recsys.kernels.sources import score
from recsys.kernels.words import Wide
from recsys.retrieval import scans
from recsys.retrieval.index import ExactIndex
from recsys.retrieval.scans import Bytes, Items, Words
from recsys.types import PAD

SCANS = pytest.mark.parametrize("scan", [Bytes, Words])

KINDS = [
    "plain",
    "ties",
    "near ties",
    "one far out",
    "scales",
    "tiny",
    "smallest",
    "huge",
    "one column",
    "constant",
    "nearly constant",
    "zero",
    "zero rows",
    "ascending",
    "best together",
]


def awkward(kind, rng, n, d):
    """Embeddings that a search by scores that are nearly right may get wrong."""
    items = rng.normal(size=(n, d)).astype(np.float32)
    if kind == "ties":
        items = items[rng.integers(0, max(n // 9, 1), n)]
    elif kind == "near ties":
        items = items[:1] + 1e-6 * items
    elif kind == "one far out":
        items[rng.integers(n)] *= 1e4
    elif kind == "scales":
        items *= 10.0 ** rng.integers(-6, 4, (n, 1))
    elif kind == "tiny":
        items *= 1e-22  # products of two are no normal numbers
    elif kind == "smallest":
        items *= 1e-38
    elif kind == "huge":
        items *= 1e17
    elif kind == "one column":
        items[:, 1:] = 0
    elif kind == "constant":
        items[:] = items[0]
    elif kind == "nearly constant":
        items = np.nextafter(items[:1], rng.choice([-np.inf, np.inf], (n, d))).astype(np.float32)
    elif kind == "zero":
        items[:] = 0
    elif kind == "zero rows":
        items[rng.random(n) < 0.5] = 0
    elif kind == "ascending":
        items = items[np.argsort(items @ items[0])]
    elif kind == "best together":
        items[n // 3 : n // 3 + 800] += 9 * items[0]  # a guess from some rows is wrong
    return np.ascontiguousarray(items, np.float32)


def by_every_score(items, users, shown, k):
    """The rows and scores that scoring every item gives, the lower row first among equals."""
    everything = np.broadcast_to(np.arange(len(items), dtype=np.int32), (len(users), len(items))).copy()
    every = np.empty(everything.shape, np.float32)
    score(users, table(items), everything, every)
    every[:, ~shown] = -np.inf
    rows, scores = np.full((len(users), k), PAD, np.int32), np.full((len(users), k), -np.inf, np.float32)
    count = min(k, int(shown.sum()))
    for query, of in enumerate(every):
        rows[query, :count] = np.lexsort((everything[query], -of))[:count]
        scores[query, :count] = of[rows[query, :count]]
    return rows, scores


@given(
    st.sampled_from([Bytes, Words]),
    st.sampled_from(KINDS),
    st.integers(0, 2**32 - 1),
    st.integers(1, 5_000),
    st.integers(1, 70),
    st.integers(1, 600),
    st.sampled_from([0.0, 0.2, 0.9, 1.0]),
)
@settings(max_examples=150, deadline=None)
def test_the_index_finds_what_every_one_finds(scan, kind, seed, n, d, k, hidden):
    """Rows, order and scores are the same bits, whatever the scales, the ties, the hidden, and k beyond the end."""
    rng = np.random.default_rng(seed)
    items, users, shown = awkward(kind, rng, n, d), awkward(kind, rng, 3, d), rng.random(n) >= hidden
    users[0] = items[0]
    rows, scores = ExactIndex(items, shown, scan=scan).scored(users, k)
    expected = by_every_score(items, users, shown, k)
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_array_equal(scores, expected[1])


@SCANS
@pytest.mark.parametrize("kind", KINDS)
def test_a_large_index_finds_what_every_one_finds(scan, kind):
    """Where a guess is made, where lists fill up and where they run over: the same rows."""
    rng = np.random.default_rng(1)
    items, users = awkward(kind, rng, 60_000, 24), awkward(kind, rng, 5, 24)
    users[0], shown = items[0], rng.random(len(items)) > 0.1
    for k in (1, 500):
        rows, scores = ExactIndex(items, shown, scan=scan).scored(users, k)
        expected = by_every_score(items, users, shown, k)
        np.testing.assert_array_equal(rows, expected[0])
        np.testing.assert_array_equal(scores, expected[1])


def wide_of(kind, table, queries):
    """A kind of scan's words of a table, and what they are asked for queries [B, W]; nothing where it has none."""
    words = kind(Items(np.zeros((len(table), 16), np.float32), table, 1.0, 0.0, 1.0))._words
    halves = np.empty((len(queries) if len(words) else 0, 2, queries.shape[1]), np.int8)
    less = np.empty(len(halves), np.int32)
    if len(words):
        asking.halve(queries, halves, less)
    return Wide(words, halves.view(np.int32), less)


def looked_at(scan, n):
    """Which of n rows a guess is made from: [n] bool."""
    table, queries, room = np.zeros((n, 16), np.int8), np.zeros((1, 1, 16), np.int16), 4 * n + 1_000
    wide = wide_of(scan, table, queries.reshape(1, -1))
    rows, scores, counts = np.empty((1, room), np.int32), np.empty((1, room), np.int32), np.zeros(1, np.int64)
    asked, shown, least = (table, search.last(table, LANES), queries, wide), np.ones(n, bool), np.int32([scans.LEAST])
    search.look(*asked, np.zeros(1, np.int64), shown, n, True, least, rows, scores, counts)
    return np.isin(np.arange(n), rows[0, : counts[0]])


@given(
    st.sampled_from([Bytes, Words]),
    *(st.integers(0, 2**32 - 1), st.integers(1, 9_000), st.integers(1, 120), st.integers(0, 60), st.floats(0, 1)),
)
@settings(max_examples=100, deadline=None)
def test_all_within_the_margin_is_listed(kind, seed, n, k, lift, share):
    """Whatever was guessed from some rows: each row at most a margin below the k-th best stands in the list, once."""
    rng = np.random.default_rng(seed)
    table = rng.integers(-40, 40, (n, 16)).astype(np.int8)
    queries = rng.integers(-300, 300, (3, 1, 16)).astype(np.int16)
    raised = looked_at(kind, n) & (rng.random(n) < share)
    table[raised] = np.clip(table[raised] + np.sign(queries[0, 0]) * lift, -127, 127)
    shown = rng.random(n) < 0.9
    k = min(k, int(shown.sum()))
    if not k:
        return
    margins, exact = rng.integers(0, 20_000, 3), table.astype(np.int64) @ queries[:, 0].T.astype(np.int64)
    rows, scores, counts = np.empty((3, 20_000), np.int32), np.empty((3, 20_000), np.int32), np.zeros(3, np.int64)
    wide = wide_of(kind, table, queries.reshape(3, -1))
    end = search.last(table, LANES)
    search.scan(table, end, queries, wide, margins, shown, k, scans.LEAST, rows, scores, counts)
    for query in range(3):
        of = np.where(shown, exact[:, query], scans.LEAST)
        within = np.flatnonzero(of >= max(np.sort(of)[-k] - margins[query], scans.LEAST + 1))
        listed = rows[query, : counts[query]]
        np.testing.assert_array_equal(scores[query, : counts[query]], exact[listed, query])
        assert np.isin(within, listed).all()
        assert len(np.unique(listed)) == len(listed)
        assert shown[listed].all()


BEFORE_NOTHING = """
import ctypes, mmap, sys
import numpy as np
from recsys.retrieval import scans
from recsys.kernels import search
from recsys.kernels.compiled import plain
page = mmap.PAGESIZE
held = mmap.mmap(-1, 2 * page)
start = ctypes.addressof(ctypes.c_char.from_buffer(held))
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + page), page, 0) == 0
for n in range(1, 40):
    for width in (4, 8, 12, 16, 20, 36):
        table = np.frombuffer(held, np.int8, n * width, page - n * width).reshape(n, width)
        items = scans.Items(np.zeros((n, width), np.float32), table, 1.0, 0.0, 1.0)
        for scan in (scans.Bytes(items), scans.Words(items)):
            scan(np.ones((2, width), np.float32), np.ones(2), 1, np.ones(n, bool))
print("read")
"""


def test_nothing_is_read_past_the_end_of_the_table():
    """A table is mapped, and behind its last page there may be none: reading there would end the process."""
    found = subprocess.run([sys.executable, "-c", BEFORE_NOTHING], capture_output=True, text=True, timeout=120)
    assert (found.returncode, found.stdout) == (0, "read\n"), found.stderr


@SCANS
def test_what_is_hidden_and_shown_meanwhile_counts(scan):
    """Rows that a call hides or shows are those that an index made so would have."""
    rng = np.random.default_rng(3)
    items, users = rng.normal(size=(5_000, 12)).astype(np.float32), rng.normal(size=(4, 12)).astype(np.float32)
    shown = rng.random(5_000) > 0.5
    hide, show = np.arange(0, 5_000, 7, dtype=np.int32), np.arange(0, 5_000, 3, dtype=np.int32)
    now = shown.copy()
    now[hide], now[show] = False, True
    rows, scores = ExactIndex(items, shown, scan=scan).scored(users, 300, hide, show)
    expected = ExactIndex(items, now, scan=scan).scored(users, 300)
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_array_equal(scores, expected[1])


@pytest.mark.parametrize("table", [np.zeros((9, 3), np.int8), np.zeros((8, 4), np.int8), np.zeros((9, 4), np.int16)])
def test_a_table_of_another_shape_is_refused(table):
    """It is read as so many bytes a row, without looking."""
    with pytest.raises(ValueError, match="table of bytes"):
        ExactIndex(np.ones((9, 4), np.float32), np.ones(9, bool), table)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_no_index(value):
    """A row that compares to nothing would be found for nobody, or for everybody."""
    items = np.ones((9, 4), np.float32)
    items[3, 2] = value
    with pytest.raises(ValueError, match="finite"):
        ExactIndex(items, np.ones(9, bool))


@SCANS
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_a_user_that_is_not_finite_is_refused(scan, value):
    """And so is one whose products would be infinite, which have no order."""
    items, users = np.ones((9, 4), np.float32), np.ones((2, 4), np.float32)
    users[1, 3] = value
    with pytest.raises(ValueError, match="User 1 of a batch"):
        ExactIndex(items, np.ones(9, bool), scan=scan).search(users, 3)


def test_the_scan_follows_the_processor_and_the_size_of_the_table(monkeypatch):
    """Words are taken where the processor has VNNI and the table is small, whatever a clock on the host says."""
    rng, ticks = np.random.default_rng(5), accumulate(count(0.0, -1.0))  # by it, what is timed later is faster
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    items, shown = rng.normal(size=(400, 8)).astype(np.float32), np.ones(400, bool)
    for vnni, of_its_own, kind in ((False, 1 << 24, Bytes), (True, 1 << 24, Words), (True, 400 * 8 - 1, Bytes)):
        monkeypatch.setattr(scans, "fast_here", lambda vnni=vnni: vnni)
        monkeypatch.setattr(scans, "OF_ITS_OWN", of_its_own)
        assert type(ExactIndex(items, shown)._scan) is kind
