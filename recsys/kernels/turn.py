"""Sixteen rows side by side: what stood in a row each stands in a column each.

Written one number at a time, each goes into another line of the cache. Here sixteen by sixteen are turned in
registers, by four exchanges of halves: likeness of 512 candidates took 47 us before and 30 after (warm; some of it is
what counting references cost), 8 of them for this. What is written are LLVM's own vectors, of no particular processor.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from recsys.kernels.layers import LANES

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_LANES = ir.VectorType(ir.FloatType(), LANES)


def _turn(_typing: Any, rows: Any, out: Any) -> Any:
    """Rows [LANES, d] float32 into columns of out [d, LANES] float32; d is a multiple of LANES. Each in one piece."""
    return types.void(rows, out), _emit


turn: Any = intrinsic(_turn)
"""See `_turn`; of a kernel, and without `_typing`."""


def _emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
    rows, out = (context.make_array(kind)(context, builder, of) for kind, of in zip(signature.args, given, strict=True))
    width = builder.extract_value(rows.shape, 1)
    with cgutils.for_range_slice(builder, _I64(0), width, _I64(LANES), _I64) as (first, _):
        block = [
            builder.load(_vector(builder, rows.data, builder.add(builder.mul(width, _I64(lane)), first)), align=4)
            for lane in range(LANES)
        ]
        apart = 1
        while apart < LANES:
            _exchange(builder, block, apart)
            apart *= 2
        for unit, column in enumerate(block):
            at = builder.mul(builder.add(first, _I64(unit)), _I64(LANES))
            builder.store(column, _vector(builder, out.data, at), align=4)
    return context.get_dummy_value()


def _vector(builder: Any, data: Any, at: Any) -> Any:
    return builder.bitcast(builder.gep(data, [at]), _LANES.as_pointer())


def _exchange(builder: Any, block: list[Any], apart: int) -> None:
    """Of each two rows so far apart, what the one has too far right for what the other has too far left."""
    left = [lane if not lane & apart else LANES + lane - apart for lane in range(LANES)]
    right = [lane + apart if not lane & apart else LANES + lane for lane in range(LANES)]
    for row in range(LANES):
        if not row & apart:
            one, other = block[row], block[row + apart]
            block[row] = builder.shuffle_vector(one, other, _places(left))
            block[row + apart] = builder.shuffle_vector(one, other, _places(right))


def _places(places: list[int]) -> Any:
    return ir.Constant(ir.VectorType(_I32, LANES), places)
