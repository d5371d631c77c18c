"""Inner products of eight rows with one, of whole numbers of two bytes.

A compiler vectorizes a loop over one row well, and then adds up the lanes of each row alone, which takes longer than
the products; here eight rows are added up together. What is written are LLVM's own vectors, of no particular processor.
On x86 they become `vpmaddwd`, which multiplies twice as many numbers at once as float32's instruction does.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

ROWS = 8
"""Rows at once: as many sums as 32 bytes hold."""

LANES = 16
"""Numbers of a row at once; a row has a multiple of it."""

I16, I32, I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
NEIGHBOURS = ([0, 2, 8, 10, 4, 6, 12, 14], [1, 3, 9, 11, 5, 7, 13, 15])
"""Of two vectors of eight, what is added to what, so that no number leaves its half: crossing is slow."""
HALVES = ([0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15])
"""And at last the halves."""


def _products(_typing: Any, rows: Any, first: Any, queries: Any, query: Any, bound: Any, out: Any) -> Any:
    """Which of rows[first : first + ROWS] have an inner product with queries[query] of `bound` at least, a bit each.

    rows: [n, W] int8, read up to the next multiple of LANES after each row's end, what stands there times zero.
    queries: [B, chunks, LANES] int16. out: [ROWS] int32, all products go there. Each in one piece.
    """
    return types.uint32(rows, first, queries, query, bound, out), _emit


products: Any = intrinsic(_products)
"""See `_products`; of a kernel, and without `_typing`."""


def _emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
    kinds = signature.args
    rows, queries, out = (context.make_array(kinds[at])(context, builder, given[at]) for at in (0, 2, 5))
    first, query = (context.cast(builder, given[at], kinds[at], types.int64) for at in (1, 3))
    bound = context.cast(builder, given[4], kinds[4], types.int32)
    stride = builder.extract_value(rows.shape, 1)
    chunks = builder.extract_value(queries.shape, 1)
    asked = builder.gep(queries.data, [builder.mul(query, builder.mul(chunks, I64(LANES)))])
    none = ir.Constant(ir.VectorType(I32, ROWS), [0] * ROWS)
    sums = [cgutils.alloca_once_value(builder, none) for _ in range(ROWS)]
    starts = [builder.gep(rows.data, [builder.mul(builder.add(first, I64(row)), stride)]) for row in range(ROWS)]
    with cgutils.for_range(builder, chunks) as loop:
        column = builder.mul(loop.index, I64(LANES))
        other = _loaded(builder, asked, column)
        for start, total in zip(starts, sums, strict=True):
            of = _loaded(builder, start, column)
            builder.store(builder.add(builder.load(total), _in_pairs(context, builder, of, other)), total)
    level = [builder.load(total) for total in sums]
    while len(level) > 1:
        masks = NEIGHBOURS if len(level) > 2 else HALVES
        level = [_joined(builder, one, two, masks) for one, two in zip(level[::2], level[1::2], strict=True)]
    builder.store(level[0], builder.bitcast(out.data, ir.VectorType(I32, ROWS).as_pointer()), align=4)
    reached = builder.icmp_signed(">=", level[0], _splat(builder, bound))
    return builder.zext(builder.bitcast(reached, ir.IntType(ROWS)), I32)


def _splat(builder: Any, number: Any) -> Any:
    kind = ir.VectorType(I32, ROWS)
    alone = builder.insert_element(ir.Constant(kind, ir.Undefined), number, I32(0))
    return builder.shuffle_vector(alone, alone, _mask([0] * ROWS))


def _loaded(builder: Any, base: Any, at: Any) -> Any:
    """LANES numbers, of two bytes each, whatever they were."""
    kind = base.type.pointee
    found = builder.load(builder.bitcast(builder.gep(base, [at]), ir.VectorType(kind, LANES).as_pointer()), align=1)
    return found if kind == I16 else builder.sext(found, ir.VectorType(I16, LANES))


def _in_pairs(context: Any, builder: Any, one: Any, other: Any) -> Any:
    """Products of two times LANES numbers, each added to its neighbour's."""
    wide, narrow = ir.VectorType(I32, ROWS), ir.VectorType(I16, LANES)
    if "+avx2" in context.codegen().magic_tuple()[2]:
        # LLVM does not find the instruction in what is written below.
        multiply = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(wide, [narrow, narrow]), "llvm.x86.avx2.pmadd.wd"
        )
        return builder.call(multiply, [one, other])
    halves = []
    for odd in (0, 1):
        mask = _mask(range(odd, LANES, 2))
        halves.append(builder.mul(*(builder.sext(builder.shuffle_vector(of, of, mask), wide) for of in (one, other))))
    return builder.add(*halves)


def _joined(builder: Any, one: Any, two: Any, masks: Any) -> Any:
    return builder.add(*(builder.shuffle_vector(one, two, _mask(mask)) for mask in masks))


def _mask(places: Any) -> ir.Constant:
    places = list(places)
    return ir.Constant(ir.VectorType(I32, len(places)), places)
