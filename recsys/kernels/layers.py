"""A layer of a small net over sixteen candidates at once: six units are summed up together, in registers.

A library's product is made for large matrices: of 52 features of 512 candidates it spends as long on copying both
sides into an order of its own as on the products, and puts all that comes out into memory before the next layer reads
it. Here sixteen candidates go through all layers while a core's first cache holds them. What is written are LLVM's own
vectors, of no particular processor; every lane does the same, so what comes out of a candidate does not depend on where
it stands, nor on who stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from recsys.kernels.compiled import compiled
from recsys.types import F32

LANES = 16
"""Candidates at once: two vectors of AVX2, one of AVX-512."""

UNITS = 6
"""Units at once: with LANES as many sums as sixteen registers of AVX2 hold beside what is read."""

_F32, _I64 = ir.FloatType(), ir.IntType(64)
_LANES = ir.VectorType(_F32, LANES)
_FUSED = ("contract",)
"""Where the processor multiplies and adds in one step, it may."""


def packed(weight: F32, bias: F32) -> F32:
    """A layer as `units` reads it: [blocks, 1 + in, UNITS] float32, its bias first, units of zero behind the last.

    weight: [out, in]. bias: [out].
    """
    out, width = weight.shape
    blocks = -(-out // UNITS)
    room = np.zeros((blocks * UNITS, 1 + width), np.float32)
    room[:out, 0], room[:out, 1:] = bias, weight
    return np.ascontiguousarray(room.reshape(blocks, UNITS, 1 + width).swapaxes(1, 2))


def _units(_typing: Any, weights: Any, block: Any, given: Any, out: Any) -> Any:
    """One block of a layer's units, as of `layer`."""
    return types.void(weights, block, given, out), _emit


units: Any = intrinsic(_units)
"""See `_units`; of a kernel, and without `_typing`."""


@compiled
def layer(weights, given, out):
    """All units of a layer.

    weights: `packed`, [blocks, 1 + in, UNITS]. given: [in, LANES] float32, out: [blocks * UNITS, LANES] float32, or the
    same flat; there may be more of both. Each in one piece.
    """
    for block in range(len(weights)):
        units(weights, block, given, out)


def _emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
    kinds = signature.args
    weights, inputs, out = (context.make_array(kinds[at])(context, builder, given[at]) for at in (0, 2, 3))
    block = context.cast(builder, given[1], kinds[1], types.int64)
    width = builder.extract_value(weights.shape, 1)
    of = builder.gep(weights.data, [builder.mul(block, builder.mul(width, _I64(UNITS)))])
    sums = [cgutils.alloca_once(builder, _LANES) for _ in range(UNITS)]
    for total, bias in zip(sums, _weights(builder, of, _I64(0)), strict=True):
        builder.store(bias, total)
    with cgutils.for_range(builder, builder.sub(width, _I64(1))) as loop:
        read = builder.gep(inputs.data, [builder.mul(loop.index, _I64(LANES))])
        lanes = builder.load(builder.bitcast(read, _LANES.as_pointer()), align=4)
        for total, weight in zip(sums, _weights(builder, of, builder.add(loop.index, _I64(1))), strict=True):
            product = builder.fmul(weight, lanes, flags=_FUSED)
            builder.store(builder.fadd(builder.load(total), product, flags=_FUSED), total)
    to = builder.gep(out.data, [builder.mul(block, _I64(UNITS * LANES))])
    for unit, total in enumerate(sums):
        place = builder.bitcast(builder.gep(to, [_I64(unit * LANES)]), _LANES.as_pointer())
        builder.store(builder.load(total), place, align=4)
    return context.get_dummy_value()


def _weights(builder: Any, block: Any, row: Any) -> Iterator[Any]:
    """What stands in a row of a block, each in all lanes."""
    ours = builder.gep(block, [builder.mul(row, _I64(UNITS))])
    for unit in range(UNITS):
        yield _splat(builder, builder.load(builder.gep(ours, [_I64(unit)])))


def _splat(builder: Any, number: Any) -> Any:
    alone = builder.insert_element(ir.Constant(_LANES, ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(alone, alone, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))
