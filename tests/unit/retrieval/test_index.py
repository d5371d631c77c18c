"""The exact index against the scores of every item."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.filters.allowed_items import Allowed
from recsys.fresh_items.extended_column import NO_ROWS, ExtendedColumn, table
from recsys.kernels.candidate_lists import score
from recsys.retrieval.index import ExactIndex
from recsys.types import PAD

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
    """Embeddings for which a search by approximate scores may be wrong."""
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
        items *= 1e-22  # products of two are subnormal
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
        items[n // 3 : n // 3 + 800] += 9 * items[0]  # an estimate from some rows is wrong
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


def of_mask(mask):
    """The items of a mask, without items put since."""
    return Allowed.of(ExtendedColumn(mask, NO_ROWS, np.zeros(0, bool)))


@given(
    st.sampled_from(KINDS),
    st.integers(0, 2**32 - 1),
    st.integers(1, 5_000),
    st.integers(1, 70),
    st.integers(1, 600),
    st.sampled_from([0.0, 0.2, 0.9, 1.0]),
    st.lists(st.sampled_from([None, None, None, 0.0, 0.003, 0.01, 0.1, 0.2, 0.5, 1.0]), min_size=1, max_size=6),
)
@settings(max_examples=250, deadline=None)
def test_the_index_finds_what_scoring_every_item_finds(kind, seed, n, d, k, hidden, shares):
    """Rows, order and scores have the same bits for any scale, ties, hidden items, k and filter, in a batch or not."""
    rng = np.random.default_rng(seed)
    items, users, shown = awkward(kind, rng, n, d), awkward(kind, rng, len(shares), d), rng.random(n) >= hidden
    users[0] = items[0]
    filters = [None if share is None else of_mask(shown & (rng.random(n) < share)) for share in shares]
    index = ExactIndex(items, shown)
    rows, scores = index.scored(users, k, allowed=filters)
    for query, of in enumerate(filters):
        one = slice(query, query + 1)
        expected = by_every_score(items, users[one], shown if of is None else of.mask, k)
        np.testing.assert_array_equal(rows[one], expected[0])
        np.testing.assert_array_equal(scores[one], expected[1])
        np.testing.assert_array_equal(index.search(users[one], k, None if of is None else [of]), rows[one])


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_index_finds_what_scoring_every_item_finds(kind):
    """Where the k-th best score is estimated, and where more items may be among the best than a list holds."""
    rng = np.random.default_rng(1)
    items, users = awkward(kind, rng, 60_000, 24), awkward(kind, rng, 9, 24)
    users[0], shown = items[0], rng.random(len(items)) > 0.1
    for k in (1, 500):
        rows, scores = ExactIndex(items, shown).scored(users, k)
        expected = by_every_score(items, users, shown, k)
        np.testing.assert_array_equal(rows, expected[0])
        np.testing.assert_array_equal(scores, expected[1])


BEFORE_UNMAPPED_MEMORY = """
import ctypes, mmap, sys
import numpy as np
from recsys.retrieval.index import Int8Scan
page = mmap.PAGESIZE
held = mmap.mmap(-1, 2 * page)
start = ctypes.addressof(ctypes.c_char.from_buffer(held))
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + page), page, 0) == 0
for n in range(1, 40):
    for width in (4, 8, 12, 16, 20, 36, 64):
        table = np.frombuffer(held, np.int8, n * width, page - n * width).reshape(n, width)
        scan = Int8Scan(np.zeros((n, width), np.float32), table)
        for users in (1, 2):
            scan.find(np.ones((users, width), np.float32), np.ones(users), 1, np.ones(n, bool))
print("read")
"""


def test_nothing_is_read_past_the_end_of_the_table():
    """The table is a mapped file: a read behind its last page would end the process."""
    command = [sys.executable, "-c", BEFORE_UNMAPPED_MEMORY]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (found.returncode, found.stdout) == (0, "read\n"), found.stderr


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_a_user_that_is_not_finite_is_refused(value):
    """So is a user whose inner products may be infinite."""
    items, users = np.ones((9, 4), np.float32), np.ones((2, 4), np.float32)
    users[1, 3] = value
    with pytest.raises(ValueError, match="User 1 of a batch"):
        ExactIndex(items, np.ones(9, bool)).search(users, 3)
