"""Inner products of thirty-two rows of bytes with one query, four bytes of each row in one step.

Sixteen rows lie side by side here, a word of four bytes of each, so that every lane adds up a row of its own and nothing
is added across. On x86 with AVX-512 VNNI a step is `vpdpbusd`, which multiplies 64 bytes by 64 and adds them up in fours:
four times what `recsys.kernels.products` does. It wants bytes without a sign on one side, so the rows' are 128 more than
they are; what that adds is known of a query and taken off before. A number of two bytes is multiplied byte by byte.

Elsewhere the same is written out, which is right and slow.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
"""Rows side by side."""

ROWS = 2 * LANES
"""Rows that one step is for: two vectors of them, for which a query's word is read once."""

FEATURE = "avx512vnni"

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
WORDS = ir.VectorType(I32, LANES)
SIGNS = ir.Constant(WORDS, [-0x7F7F7F80] * LANES)  # 0x80 in each byte


def fast_here() -> bool:
    """Whether the processor has the instruction."""
    return bool(binding.get_host_cpu_features().get(FEATURE))


def _turn(_typing: Any, rows: Any, first: Any, words: Any, at: Any) -> Any:
    """Put rows[first : first + LANES] side by side into words[at : at + chunks], 128 more than they are.

    rows: [n, W] int8, read up to the next multiple of 4 * LANES after each row's end. words: [any, LANES, LANES] int32:
    a chunk of LANES words of a row is a square, in it a row a word and a column a row of the table. Both in one piece.
    """
    return types.void(rows, first, words, at), _emit_turn


turn: Any = intrinsic(_turn)
"""See `_turn`; of a kernel, and without `_typing`."""


def _emit_turn(context: Any, builder: Any, signature: Any, given: Any) -> Any:
    kinds = signature.args
    rows, words = (context.make_array(kinds[at])(context, builder, given[at]) for at in (0, 2))
    first, at = (context.cast(builder, given[place], kinds[place], types.int64) for place in (1, 3))
    stride = builder.extract_value(rows.shape, 1)
    bytes_at_once = I64(4 * LANES)
    chunks = builder.udiv(builder.add(stride, I64(4 * LANES - 1)), bytes_at_once)
    with cgutils.for_range(builder, chunks) as loop:
        column = builder.mul(loop.index, bytes_at_once)
        square = []
        for row in range(LANES):
            start = builder.add(builder.mul(builder.add(first, I64(row)), stride), column)
            found = _loaded(builder, builder.gep(rows.data, [start]), WORDS, 1)
            square.append(builder.xor(found, SIGNS))
        base = builder.mul(builder.add(at, loop.index), I64(LANES * LANES))
        for place, of in enumerate(_transposed(builder, square)):
            to = builder.gep(words.data, [builder.add(base, I64(place * LANES))])
            builder.store(of, builder.bitcast(to, WORDS.as_pointer()), align=4)
    return context.get_dummy_value()


def _transposed(builder: Any, square: list[Any]) -> list[Any]:
    """A square of words with its rows as columns: pairs of rows a power of two apart change halves, four times."""
    size = len(square)
    for apart in (1, 2, 4, 8):
        # Lane by lane: those whose number has this bit come from the other row.
        low = [lane if not lane & apart else size + lane - apart for lane in range(size)]
        high = [lane + apart if not lane & apart else size + lane for lane in range(size)]
        turned = list(square)
        for row in range(size):
            if not row & apart:
                pair = square[row], square[row + apart]
                turned[row] = builder.shuffle_vector(*pair, _mask(low))
                turned[row + apart] = builder.shuffle_vector(*pair, _mask(high))
        square = turned
    return square


def _dots(_typing: Any, words: Any, at: Any, halves: Any, query: Any, least: Any, bound: Any, out: Any) -> Any:
    """Which of ROWS have an inner product with a query of `bound` at least, a bit each; all products go into out.

    words: [any, LANES, LANES] int32, as `turn` leaves them, the chunks of two times LANES rows from `at` on. halves:
    [B, 2, chunks * LANES] int32, the high bytes of a query's numbers and the low ones, with signs, four in a word.
    least: int32, what the products are too large by, taken from nought. out: [ROWS] int32. Each in one piece.
    """
    return types.uint32(words, at, halves, query, least, bound, out), _emit_dots


dots: Any = intrinsic(_dots)
"""See `_dots`; of a kernel, and without `_typing`."""


def _emit_dots(context: Any, builder: Any, signature: Any, given: Any) -> Any:
    kinds = signature.args
    words, halves, out = (context.make_array(kinds[at])(context, builder, given[at]) for at in (0, 2, 6))
    at, query = (context.cast(builder, given[place], kinds[place], types.int64) for place in (1, 3))
    least, bound = (context.cast(builder, given[place], kinds[place], types.int32) for place in (4, 5))
    steps = builder.extract_value(halves.shape, 2)
    asked = builder.gep(halves.data, [builder.mul(query, builder.mul(steps, I64(2)))])
    low_asked = builder.gep(asked, [steps])
    first = builder.gep(words.data, [builder.mul(at, I64(LANES * LANES))])
    second = builder.gep(first, [builder.mul(steps, I64(LANES))])
    none, base = ir.Constant(WORDS, [0] * LANES), _splat(builder, least)
    highs, lows = ([cgutils.alloca_once_value(builder, of) for _ in range(2)] for of in (none, base))
    for high, low in zip(highs, lows, strict=True):
        builder.store(none, high)
        builder.store(base, low)
    with cgutils.for_range(builder, steps) as loop:
        high_word, low_word = (_splat(builder, builder.load(builder.gep(of, [loop.index]))) for of in (asked, low_asked))
        place = builder.mul(loop.index, I64(LANES))
        for start, high, low in zip((first, second), highs, lows, strict=True):
            of = _loaded(builder, builder.gep(start, [place]), WORDS, 4)
            builder.store(_step(context, builder, builder.load(high), of, high_word), high)
            builder.store(_step(context, builder, builder.load(low), of, low_word), low)
    reached = []
    for part, (high, low) in enumerate(zip(highs, lows, strict=True)):
        total = builder.add(builder.shl(builder.load(high), ir.Constant(WORDS, [8] * LANES)), builder.load(low))
        to = builder.gep(out.data, [I64(part * LANES)])
        builder.store(total, builder.bitcast(to, WORDS.as_pointer()), align=4)
        met = builder.icmp_signed(">=", total, _splat(builder, bound))
        reached.append(builder.zext(builder.bitcast(met, ir.IntType(LANES)), I32))
    return builder.or_(reached[0], builder.shl(reached[1], I32(LANES)))


def _step(context: Any, builder: Any, total: Any, rows: Any, asked: Any) -> Any:
    """The total of each lane and the products of its four bytes: of rows without a sign, of what is asked with one."""
    if f"+{FEATURE}" in context.codegen().magic_tuple()[2]:
        kind = ir.FunctionType(WORDS, [WORDS, WORDS, WORDS])
        multiply = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
        return builder.call(multiply, [total, rows, asked])
    for byte in range(4):
        up, down = (ir.Constant(WORDS, [shift] * LANES) for shift in (24 - 8 * byte, 24))
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
    return builder.zext(builder.cttz(bits, ir.Constant(ir.IntType(1), 0)), I64)


def _loaded(builder: Any, base: Any, kind: Any, align: int) -> Any:
    return builder.load(builder.bitcast(base, kind.as_pointer()), align=align)


def _splat(builder: Any, number: Any) -> Any:
    alone = builder.insert_element(ir.Constant(WORDS, ir.Undefined), number, I32(0))
    return builder.shuffle_vector(alone, alone, _mask([0] * LANES))


def _mask(places: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(I32, len(places)), places)
