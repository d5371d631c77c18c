"""Check the contents of a generation (trained models and tables) before use: types, shapes, ranges, finite numbers.

Right hashes show only that the files are what their publisher wrote. The compiled loops check no array bounds, so every
item number in a table is checked here. Files are read in blocks: a check of a million items needs little memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
from safetensors import safe_open

from recsys.errors import GenerationError
from recsys.generation.item_tables import POPULARITY_WINDOWS, ItemTables
from recsys.generation.manifest import RANKER, TOWERS, GenerationFolder, Manifest
from recsys.generation.packed_strings import StringTable, hashed
from recsys.kernels.quantization import is_rounded, width
from recsys.model import features
from recsys.model.context_lift import ContextLift
from recsys.model.feature_spec import CONTENT_TOKENS, FeatureSpec
from recsys.retrieval.registry import RETRIEVED, trained_with
from recsys.types import CLOCK, CONTEXTS, PAD

BLOCK_ROWS = 1 << 13

UNIT_TOLERANCE = 1e-3
"""The most by which the length of an embedding may differ from 1: they are normalised in float32."""


def check(folder: GenerationFolder) -> None:
    """GenerationError names what is wrong with a generation whose hashes are verified."""
    manifest = folder.manifest
    with readable(manifest.id):
        fault = next(_faults(folder, manifest, folder.spec(), folder.tables()), None)
    if fault:
        raise GenerationError(f"Generation {manifest.id} can't be served: {fault}.")


@contextmanager
def readable(generation: str) -> Iterator[None]:
    """Turn any error of a damaged file, such as one that is no npy or safetensors file, into a GenerationError."""
    try:
        yield
    except GenerationError:
        raise
    except Exception as error:  # npy, JSON and safetensors raise a dozen kinds over damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GenerationError(f"A part of generation {generation} can't be read: {reason}.") from error


def _faults(folder: GenerationFolder, manifest: Manifest, spec: FeatureSpec, tables: ItemTables) -> Iterator[str]:
    """Each fault as a part of a sentence."""
    yield from _strings("ids", tables.ids, len(tables))
    yield from _strings("titles", tables.titles, len(tables))
    for name, (array, dtype, shape) in _arrays(tables, spec, manifest.dims["embedding"]).items():
        yield from _array(name, array, dtype, shape)
    if any(np.isinf(block).any() for block in _blocks(tables.numbers)):
        yield "numbers holds infinite ones"
    for name, table in (("covisit", tables.covisit), ("follow", tables.follow), ("ease", tables.ease)):
        if any(_outside(block, PAD, len(tables)) for block in _blocks(table.rows)):
            yield f"{name} names items past the {len(tables):,} there are"
    yield from _lift(tables.context_lift, len(tables))
    yield from _ranges(tables, spec)
    yield from _index(tables.ids)
    if {*spec.numbers} != {*spec.edges, *spec.booleans}:
        yield "the spec keeps numbers of other columns than the numeric and boolean ones"
    yield from _towers(folder, manifest, spec)
    yield from _ranker(folder, manifest, spec)


Expected = tuple[np.ndarray, type, tuple[int, ...]]
"""An array with the type and shape that it must have."""


def _arrays(tables: ItemTables, spec: FeatureSpec, dim: int) -> dict[str, Expected]:
    items = len(tables)
    neighbours = {"covisit": tables.covisit, "follow": tables.follow, "ease": tables.ease}
    return {
        "embeddings": (tables.embeddings, np.float32, (items, dim)),
        "rounded": (tables.rounded, np.int8, (items, width(dim))),
        "content": (tables.content, np.int32, (items, CONTENT_TOKENS)),
        "available": (tables.available, np.bool_, (items,)),
        "by_popularity": (tables.by_popularity, np.int32, (items,)),
        "popularity": (tables.popularity, np.float32, (items, len(POPULARITY_WINDOWS))),
        "age": (tables.age, np.float32, (items,)),
        "numbers": (tables.numbers, np.float64, (items, len(spec.numbers))),
        "own": (tables.own, np.float32, (items, len(spec.own))),
        **{f"{name}.rows": (table.rows, np.int32, (items, table.width)) for name, table in neighbours.items()},
        **{f"{name}.weights": (table.weights, np.float32, (items, table.width)) for name, table in neighbours.items()},
    }


def _array(name: str, array: np.ndarray, dtype: type, shape: tuple[int, ...]) -> Iterator[str]:
    if array.dtype != dtype or array.shape != shape:
        yield f"{name} is {array.dtype}{list(array.shape)}, and {np.dtype(dtype)}{list(shape)} is wanted"
        return
    may_be_nan = name == "numbers" or not np.issubdtype(dtype, np.floating)
    if not may_be_nan and not all(np.isfinite(block).all() for block in _blocks(array)):
        yield f"{name} holds numbers that are not finite"


def _strings(name: str, table: StringTable, items: int) -> Iterator[str]:
    if len(table) != items:
        yield f"{name} has {len(table):,} entries for {items:,} items"
    elif table.offsets[0] != 0 or table.offsets[-1] != len(table.data) or (np.diff(table.offsets) < 0).any():
        yield f"the offsets of {name} do not fit its bytes"


def _index(ids: StringTable) -> Iterator[str]:
    """The index of the ids has each id at the place of its hash."""
    hashes, rows = ids.index
    yield from _array("ids.hashes", hashes, np.uint64, (len(ids),))
    yield from _array("ids.rows", rows, np.int32, (len(ids),))
    if not _is_permutation(rows):
        yield "the index of the ids does not name every item once"
    elif not np.array_equal(hashed(ids)[rows], hashes):
        yield "the index of the ids is that of other ids"
    elif (hashes[1:] < hashes[:-1]).any():
        yield "the index of the ids is out of order"


def _lift(lift: ContextLift, items: int) -> Iterator[str]:
    starts, groups = lift.starts, len(lift.starts) - 1
    ascending = starts[0] == 0 and (np.diff(starts) >= 0).all()  # a column may be empty
    if starts.dtype != np.int32 or not CLOCK <= groups <= CLOCK + CONTEXTS or not ascending:
        yield f"context_lift.starts does not begin 2 to {CLOCK + CONTEXTS} groups of columns in their order"
        return
    yield from _array("context_lift.table", lift.table, np.float32, (items, int(starts[-1])))


def _ranges(tables: ItemTables, spec: FeatureSpec) -> Iterator[str]:
    if any(_outside(block, 0, len(spec.tokens)) for block in _blocks(tables.content)):
        yield f"content names tokens past the {len(spec.tokens):,} of the spec"
    if any(_not_unit(np.linalg.norm(block, axis=1)) for block in _blocks(tables.embeddings)):
        yield "some item embeddings are not of length 1"
    if not is_rounded(tables.embeddings, tables.rounded):
        yield "the bytes of the item embeddings are those of others"
    if any((block < 0).any() for block in _blocks(tables.popularity)):
        yield "popularity is negative"
    if not _is_permutation(tables.by_popularity):
        yield "by_popularity does not name every item once"


def _towers(folder: GenerationFolder, manifest: Manifest, spec: FeatureSpec) -> Iterator[str]:
    dim = manifest.dims["embedding"]
    wanted = {
        "item.ids.weight": (manifest.dims["items"], dim),
        "item.content.weight": (len(spec.tokens), dim),
        "user.skip.bias": (dim,),
    }
    with safe_open(folder.path / TOWERS, "np") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 no mapping
        for name, shape in wanted.items():
            if shapes.get(name) != shape:
                yield f"the towers' {name} is {shapes.get(name)}, and {shape} is wanted"
                return
        if f"user.contexts.{CONTEXTS}.weight" in shapes:
            yield f"the towers have more than {CONTEXTS} columns of a context"
            return
        for name, shape in shapes.items():
            weights = file.get_slice(name)
            ends = [*range(0, shape[0], BLOCK_ROWS), shape[0]] if shape else []  # a slice past the end is an error
            blocks = (weights[at:end] for at, end in pairwise(ends)) if shape else [file.get_tensor(name)]
            if not all(np.isfinite(block).all() for block in blocks):
                yield f"the towers' {name} holds numbers that are not finite"


def _ranker(folder: GenerationFolder, manifest: Manifest, spec: FeatureSpec) -> Iterator[str]:
    wanted = len(features.names(spec)) - len(RETRIEVED) + len(trained_with(manifest.sources))
    with safe_open(folder.path / RANKER, "np") as file:
        columns = tuple(file.get_slice("mean").get_shape())
        if columns != (wanted,):
            yield f"the ranker takes {columns[0]} features, and this code makes {wanted} for the generation"
        for name in file.keys():  # noqa: SIM118 no mapping
            weights = file.get_tensor(name)
            # The deviation of a feature that never varied is infinite: the feature then has no effect.
            if name == "deviation" and not (weights > 0).all():
                yield "the ranker's deviation holds numbers that are not above 0"
            elif name != "deviation" and not np.isfinite(weights).all():
                yield f"the ranker's {name} holds numbers that are not finite"


def _not_unit(lengths: np.ndarray) -> bool:
    """Whether some lengths are neither 1 nor 0, which is the length for an item without interactions and content."""
    return bool(((np.abs(lengths - 1) > UNIT_TOLERANCE) & (lengths > UNIT_TOLERANCE)).any())


def _outside(block: np.ndarray, least: int, end: int) -> bool:
    return bool(block.size and (block.min() < least or block.max() >= end))


def _is_permutation(rows: np.ndarray) -> bool:
    if _outside(rows, 0, len(rows)):
        return False
    named = np.zeros(len(rows), bool)
    named[rows] = True
    return bool(named.all())


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(array), BLOCK_ROWS):
        yield array[start : start + BLOCK_ROWS]
