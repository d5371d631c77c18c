"""Products of bytes, by the processor's instructions and as they are written out for those without."""

import numpy as np

from recsys.kernels import asking
from recsys.kernels.products import products
from recsys.kernels.words import dots, side_by_side
from recsys.retrieval import scans


def test_products_without_the_instruction_are_the_same(monkeypatch):
    """What is written for processors without `vpmaddwd` multiplies as it does."""
    from numba import njit
    from numba.core.registry import cpu_target

    def compiled():
        @njit
        def first(rows, queries, bound, out):
            return products(rows, 0, queries, 0, bound, out)

        return first

    rng = np.random.default_rng(6)
    rows = rng.integers(-128, 128, (9, 32)).astype(np.int8)
    queries = rng.integers(-(2**15), 2**15, (1, 2, 16)).astype(np.int16)
    expected = rows[:8].astype(np.int64) @ queries.reshape(-1).astype(np.int64)
    codegen = cpu_target.target_context.codegen()
    told = codegen.magic_tuple()
    for features in (told[2], ""):
        monkeypatch.setattr(codegen, "magic_tuple", lambda features=features: (*told[:2], features))
        out = np.zeros(8, np.int32)
        first = compiled()
        assert first(rows, queries, expected.max(), out)
        np.testing.assert_array_equal(out, expected)
        assert not first(rows, queries, expected.max() + 1, out)


def test_words_without_the_instruction_are_the_same(monkeypatch):
    """What is written for processors without `vpdpbusd` multiplies as it does, and says which rows reach a bound."""
    from numba import njit
    from numba.core.registry import cpu_target

    def compiled():
        @njit
        def last(words, halves, less, bound, out):
            return dots(words, 1, halves, 0, less, bound, out)

        return last

    rng = np.random.default_rng(7)
    rows = rng.integers(-128, 128, (61, 100)).astype(np.int8)
    queries = rng.integers(-scans.MOST, scans.MOST + 1, (1, 112)).astype(np.int16)
    queries[0, :4] = scans.MOST, -scans.MOST, 128, -129
    halves, less = np.empty((1, 2, 100), np.int8), np.empty(1, np.int32)
    asking.halve(queries, halves, less)
    words = side_by_side(rows)
    assert words.shape == (2, 25, 32)  # zero rows behind the last
    assert words.ctypes.data % 64 == 0
    expected = np.zeros(32, np.int64)
    expected[:29] = rows[32:].astype(np.int64) @ queries[0, :100].astype(np.int64)
    codegen = cpu_target.target_context.codegen()
    told = codegen.magic_tuple()
    for features in (told[2], ""):
        monkeypatch.setattr(codegen, "magic_tuple", lambda features=features: (*told[:2], features))
        out, bound = np.zeros(32, np.int32), int(np.sort(expected)[20])
        bits = compiled()(words, halves.view(np.int32), less[0], bound, out)
        np.testing.assert_array_equal(out[:29], expected[:29])
        np.testing.assert_array_equal([bits >> row & 1 for row in range(29)], expected[:29] >= bound)
