"""Rows of a table that are asked for before they are needed: nobody can foresee which ones candidates name."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LINE = 64
"""Bytes that come from memory at once."""

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def _fetch(_typing: Any, table: Any, row: Any) -> Any:
    """Have a row of a table [n, ...], in one piece, brought into the core's caches; nobody waits for it."""
    return types.void(table, row), _emit


fetch: Any = intrinsic(_fetch)
"""See `_fetch`; of a kernel, and without `_typing`."""


def _emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
    kind = signature.args[0]
    table = context.make_array(kind)(context, builder, given[0])
    row = context.cast(builder, given[1], signature.args[1], types.int64)
    stride = builder.extract_value(table.strides, 0)
    start = builder.gep(builder.bitcast(table.data, _I8.as_pointer()), [builder.mul(row, stride)])
    ask = builder.module.declare_intrinsic("llvm.prefetch", [_I8.as_pointer()], _KIND)
    with cgutils.for_range_slice(builder, _I64(0), stride, _I64(LINE), _I64) as (at, _):
        builder.call(ask, [builder.gep(start, [at]), _I32(0), _I32(3), _I32(1)])
    return context.get_dummy_value()


_KIND = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
