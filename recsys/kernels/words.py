"""Inner products of thirty-two rows of bytes with one query, four bytes of each row in one step.

Rows lie side by side here, a word of four bytes of each of thirty-two, so that every lane adds up a row of its own and
nothing is added across. On x86 with AVX-512 VNNI a step is `vpdpbusd`, which multiplies 64 bytes by 64 and adds them
up in fours: four times as many as a step of `recsys.kernels.products`. It wants bytes without a sign on one side, so
the rows' are 128 more than they are; what that adds is known of a query and taken off before. A number of two bytes is
multiplied byte by byte. Elsewhere the same is written out, which is right and slow.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from recsys.types import I8, I32

LANES = 16
"""Words of a vector."""

ROWS = 2 * LANES
"""Rows side by side: two vectors of them, for which a query's word is read once.

Both vectors of a word follow one another, so that a table is read from its beginning to its end. Where sixteen rows
stood side by side, and two such blocks were read at once, what fetches ahead did not follow: products with 100,000 rows
that no cache had took .56 ms, and take .22.
"""

FEATURE = "avx512vnni"

_SIGNS = np.uint8(0x80)
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_WORDS = ir.VectorType(_I32, LANES)


class Wide(NamedTuple):
    """What a scan over words looks through, and what it asks; nothing of all, where there is to be none.

    words: [blocks, W / 4, ROWS] int32, a table `side_by_side`. halves: [B, 2, W / 4] int32, the high bytes of each
    query's numbers and the low ones, with signs, four in a word. less: [B] int32, taken from a query's products.
    """

    words: I32
    halves: I32
    less: I32


def fast_here() -> bool:
    """Whether the processor has the instruction."""
    return bool(binding.get_host_cpu_features().get(FEATURE))


def side_by_side(table: I8) -> I32:
    """A table [n, W] int8 as `dots` reads it: [blocks, W / 4, ROWS] int32, zero rows behind its end.

    Each vector of it lies in one line of the cache: one in two would be read twice.
    """
    n, words = len(table), table.shape[1] // 4
    blocks = -(-n // ROWS)
    room = np.zeros(blocks * words * ROWS + LANES, np.int32)
    first = -(room.ctypes.data // 4) % LANES
    turned = room[first : first + blocks * words * ROWS].reshape(blocks, words, ROWS)
    whole = n // ROWS
    of = np.ascontiguousarray(table).view(np.int32)
    turned[:whole] = of[: whole * ROWS].reshape(whole, ROWS, words).swapaxes(1, 2)
    if n % ROWS:
        turned[whole, :, : n % ROWS] = of[whole * ROWS :].T
    turned.view(np.uint8)[:] ^= _SIGNS
    return turned


def _dots(_typing: Any, words: Any, at: Any, halves: Any, query: Any, less: Any, bound: Any, out: Any) -> Any:
    """Which of ROWS have an inner product with a query of `bound` at least, a bit each; all products go into out.

    words, halves: of `Wide`; the rows are those of block `at`. less: int32, taken from the products. out:
    [ROWS] int32. Each in one piece.
    """
    return types.uint32(words, at, halves, query, less, bound, out), _emit_dots


dots: Any = intrinsic(_dots)
"""See `_dots`; of a kernel, and without `_typing`."""


def _emit_dots(context: Any, builder: Any, signature: Any, given: Any) -> Any:
    kinds = signature.args
    words, halves, out = (context.make_array(kinds[at])(context, builder, given[at]) for at in (0, 2, 6))
    at, query = (context.cast(builder, given[place], kinds[place], types.int64) for place in (1, 3))
    less, bound = (context.cast(builder, given[place], kinds[place], types.int32) for place in (4, 5))
    steps = builder.extract_value(halves.shape, 2)
    asked = builder.gep(halves.data, [builder.mul(query, builder.mul(steps, _I64(2)))])
    low_asked = builder.gep(asked, [steps])
    first = builder.gep(words.data, [builder.mul(at, builder.mul(steps, _I64(ROWS)))])
    second = builder.gep(first, [_I64(LANES)])
    none, base = ir.Constant(_WORDS, [0] * LANES), _splat(builder, less)
    highs, lows = ([cgutils.alloca_once_value(builder, of) for _ in range(2)] for of in (none, base))
    for high, low in zip(highs, lows, strict=True):
        builder.store(none, high)
        builder.store(base, low)
    with cgutils.for_range(builder, steps) as loop:
        high_word, low_word = (
            _splat(builder, builder.load(builder.gep(of, [loop.index]))) for of in (asked, low_asked)
        )
        place = builder.mul(loop.index, _I64(ROWS))
        for start, high, low in zip((first, second), highs, lows, strict=True):
            of = _loaded(builder, builder.gep(start, [place]), _WORDS, 4)
            builder.store(_step(context, builder, builder.load(high), of, high_word), high)
            builder.store(_step(context, builder, builder.load(low), of, low_word), low)
    reached = []
    for part, (high, low) in enumerate(zip(highs, lows, strict=True)):
        total = builder.add(builder.shl(builder.load(high), ir.Constant(_WORDS, [8] * LANES)), builder.load(low))
        to = builder.gep(out.data, [_I64(part * LANES)])
        builder.store(total, builder.bitcast(to, _WORDS.as_pointer()), align=4)
        met = builder.icmp_signed(">=", total, _splat(builder, bound))
        reached.append(builder.zext(builder.bitcast(met, ir.IntType(LANES)), _I32))
    return builder.or_(reached[0], builder.shl(reached[1], _I32(LANES)))


def _step(context: Any, builder: Any, total: Any, rows: Any, asked: Any) -> Any:
    """The total of each lane and the products of its four bytes: of rows without a sign, of what is asked with one."""
    if f"+{FEATURE}" in context.codegen().magic_tuple()[2]:
        kind = ir.FunctionType(_WORDS, [_WORDS, _WORDS, _WORDS])
        multiply = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
        return builder.call(multiply, [total, rows, asked])
    for byte in range(4):
        up, down = (ir.Constant(_WORDS, [shift] * LANES) for shift in (24 - 8 * byte, 24))
        one = builder.lshr(builder.shl(rows, up), down)
        other = builder.ashr(builder.shl(asked, up), down)
        total = builder.add(total, builder.mul(one, other))
    return total


def _lowest(_typing: Any, bits: Any) -> Any:
    """Which is the lowest bit that is set; of none, 32."""
    return types.int64(bits), _emit_lowest


lowest: Any = intrinsic(_lowest)
"""See `_lowest`; of a kernel, and without `_typing`."""


def _emit_lowest(context: Any, builder: Any, signature: Any, given: Any) -> Any:
    bits = context.cast(builder, given[0], signature.args[0], types.uint32)
    return builder.zext(builder.cttz(bits, ir.Constant(ir.IntType(1), 0)), _I64)


def _loaded(builder: Any, base: Any, kind: Any, align: int) -> Any:
    return builder.load(builder.bitcast(base, kind.as_pointer()), align=align)


def _splat(builder: Any, number: Any) -> Any:
    alone = builder.insert_element(ir.Constant(_WORDS, ir.Undefined), number, _I32(0))
    return builder.shuffle_vector(alone, alone, ir.Constant(_WORDS, [0] * LANES))
