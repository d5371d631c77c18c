"""Whether a generation whose hashes are right makes sense: types, shapes, ranges and finite numbers.

A hash proves that a part is what its publisher wrote, not that it can be served. Read in blocks over mapped files, so
that a check of a million items takes little memory of its own. Knows no store.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

import numpy as np
from safetensors import safe_open

from recsys.errors import GenerationError
from recsys.generation.item_tables import POPULARITY_WINDOWS, ItemTables
from recsys.generation.manifest import RANKER, TOWERS, GenerationFolder, Manifest
from recsys.generation.packed_strings import StringTable, hashed
from recsys.model import features
from recsys.model.context_lift import ContextLift
from recsys.model.feature_spec import CONTENT_TOKENS, FeatureSpec
from recsys.model.neighbour_tables import Neighbours
from recsys.retrieval.int8_embeddings import is_rounded, width
from recsys.retrieval.registry import RETRIEVED, trained_with
from recsys.types import CLOCK, CONTEXTS, PAD

ROWS = 1 << 13
"""Rows looked at at once."""

UNIT = 1e-3
"""How far the length of an embedding may be from 1: they are normalised in float32."""


def check(folder: GenerationFolder) -> None:
    """Return if all that serving reads of a verified generation makes sense; GenerationError names what does not."""
    manifest = folder.manifest
    with readable(manifest.id):
        spec, tables = folder.spec(), folder.tables()
        faults = _faults(folder, manifest, spec, tables)
        fault = next(faults, None)
    if fault:
        raise GenerationError(f"Generation {manifest.id} can't be served: {fault}.")


@contextmanager
def readable(generation: str) -> Iterator[None]:
    """Say what can't be parsed as a GenerationError: a part that is no npy or safetensors file, or holds objects."""
    try:
        yield
    except GenerationError:
        raise
    except Exception as error:  # npy, JSON and safetensors raise a dozen kinds over damaged files
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GenerationError(f"A part of generation {generation} can't be read: {told}.") from error


def _faults(folder: GenerationFolder, manifest: Manifest, spec: FeatureSpec, tables: ItemTables) -> Iterator[str]:
    """What is wrong, in words, the first first."""
    items = manifest.dims["items"]
    for field in fields(tables):
        table = getattr(tables, field.name)
        if isinstance(table, StringTable):
            yield from _strings(field.name, table, items)
        elif isinstance(table, Neighbours):
            yield from _neighbours(field.name, table, items)
        elif isinstance(table, ContextLift):
            yield from _lift(field.name, table, items)
        elif field.name == "numbers":
            yield from _numbers(table, (items, len(spec.numbers)))
        else:
            yield from _array(field.name, table, *_expected(field.name, manifest))
    yield from _ranges(tables, spec)
    yield from _towers(folder, manifest, spec)
    yield from _ranker(folder, manifest)


def _expected(name: str, manifest: Manifest) -> tuple[type, tuple[int, ...]]:
    items = manifest.dims["items"]
    return {
        "embeddings": (np.float32, (items, manifest.dims["embedding"])),
        "rounded": (np.int8, (items, width(manifest.dims["embedding"]))),
        "content": (np.int32, (items, CONTENT_TOKENS)),
        "available": (np.bool_, (items,)),
        "by_popularity": (np.int32, (items,)),
        "popularity": (np.float32, (items, len(POPULARITY_WINDOWS))),
        "age": (np.float32, (items,)),
    }[name]


def _array(name: str, array: np.ndarray, dtype: type, shape: tuple[int, ...]) -> Iterator[str]:
    if array.dtype != dtype or array.shape != shape:
        yield f"{name} is {array.dtype}{list(array.shape)}, and {np.dtype(dtype)}{list(shape)} is wanted"
    elif np.issubdtype(dtype, np.floating) and not all(np.isfinite(block).all() for block in _blocks(array)):
        yield f"{name} holds numbers that are not finite"


def _numbers(numbers: np.ndarray, shape: tuple[int, ...]) -> Iterator[str]:
    if numbers.dtype != np.float64 or numbers.shape != shape:
        yield f"numbers is {numbers.dtype}{list(numbers.shape)}, and float64{list(shape)} is wanted"
    elif any(np.isinf(block).any() for block in _blocks(numbers)):
        yield "numbers holds infinite ones"


def _strings(name: str, table: StringTable, items: int) -> Iterator[str]:
    if len(table) != items:
        yield f"{name} has {len(table):,} entries for {items:,} items"
    elif table.offsets[0] != 0 or table.offsets[-1] != len(table.data) or (np.diff(table.offsets) < 0).any():
        yield f"the offsets of {name} do not fit its bytes"


def _index(ids: StringTable) -> Iterator[str]:
    """Each id stands where its hash says."""
    hashes, rows = ids.index
    yield from _array("ids.hashes", hashes, np.uint64, (len(ids),))
    yield from _array("ids.rows", rows, np.int32, (len(ids),))
    if not _is_order(rows):
        yield "the index of the ids does not name every item once"
    elif not np.array_equal(hashed(ids)[rows], hashes):
        yield "the index of the ids is that of other ids"
    elif (hashes[1:] < hashes[:-1]).any():
        yield "the index of the ids is out of order"


def _neighbours(name: str, table: Neighbours, items: int) -> Iterator[str]:
    yield from _array(f"{name}.rows", table.rows, np.int32, (items, table.width))
    yield from _array(f"{name}.weights", table.weights, np.float32, (items, table.width))
    if any(_outside(block, PAD, items) for block in _blocks(table.rows)):
        yield f"{name} names items past the {items:,} there are"


def _lift(name: str, lift: ContextLift, items: int) -> Iterator[str]:
    groups = len(lift.starts) - 1
    sound = (
        CLOCK <= groups <= CLOCK + CONTEXTS and lift.starts[0] == 0 and (np.diff(lift.starts) >= 0).all()
    )  # a column may be empty
    if lift.starts.dtype != np.int32 or not sound:
        yield f"{name}.starts does not begin 2 to {CLOCK + CONTEXTS} groups of columns in their order"
        return
    yield from _array(f"{name}.table", lift.table, np.float32, (items, int(lift.starts[-1])))


def _ranges(tables: ItemTables, spec: FeatureSpec) -> Iterator[str]:
    if any(_outside(block, 0, len(spec.tokens)) for block in _blocks(tables.content)):
        yield f"content names tokens past the {len(spec.tokens):,} of the spec"
    if any(_misshapen(np.linalg.norm(block, axis=1)) for block in _blocks(tables.embeddings)):
        yield "some item embeddings are not of length 1"
    if not is_rounded(tables.embeddings, tables.rounded):
        yield "the bytes of the item embeddings are those of others"
    if any((block < 0).any() for block in _blocks(tables.popularity)):
        yield "popularity is negative"
    if not _is_order(tables.by_popularity):
        yield "by_popularity does not name every item once"
    yield from _index(tables.ids)
    if {*spec.numbers} != {*spec.edges, *spec.booleans}:
        yield "the spec keeps numbers of other columns than the numeric and boolean ones"


def _towers(folder: GenerationFolder, manifest: Manifest, spec: FeatureSpec) -> Iterator[str]:
    with safe_open(folder.path / TOWERS, "np") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 no mapping
        dim = manifest.dims["embedding"]
        wanted = {
            "item.ids.weight": (manifest.dims["items"], dim),
            "item.content.weight": (len(spec.tokens), dim),
            "user.skip.bias": (dim,),
        }
        for name, shape in wanted.items():
            if shapes.get(name) != shape:
                yield f"the towers' {name} is {shapes.get(name)}, and {shape} is wanted"
                return
        if f"user.contexts.{CONTEXTS}.weight" in shapes:
            yield f"the towers know more than {CONTEXTS} columns of a context"
            return
        for name, shape in shapes.items():
            whole = file.get_slice(name)
            for start in range(0, shape[0] if shape else 1, ROWS):
                block = whole[start : min(start + ROWS, shape[0])] if shape else file.get_tensor(name)
                if not np.isfinite(block).all():
                    yield f"the towers' {name} holds numbers that are not finite"
                    break


def _ranker(folder: GenerationFolder, manifest: Manifest) -> Iterator[str]:
    wanted = len(features.FEATURES) - len(RETRIEVED) + len(trained_with(manifest.sources))
    with safe_open(folder.path / RANKER, "np") as file:
        taken = tuple(file.get_slice("mean").get_shape())
        if taken != (wanted,):
            yield f"the ranker takes {taken[0]} features, and this code makes {wanted} of the generation's sources"
        for name in file.keys():  # noqa: SIM118 no mapping
            numbers = file.get_tensor(name)
            # A deviation is infinite where a feature never varied: it then says nothing.
            if name == "deviation" and not (numbers > 0).all():
                yield "the ranker's deviation holds numbers that are not above 0"
            elif name != "deviation" and not np.isfinite(numbers).all():
                yield f"the ranker's {name} holds numbers that are not finite"


def _misshapen(lengths: np.ndarray) -> bool:
    """Whether some lengths are neither 1 nor, for an item that nobody took and nothing describes, 0."""
    return bool(((np.abs(lengths - 1) > UNIT) & (lengths > UNIT)).any())


def _outside(block: np.ndarray, least: int, end: int) -> bool:
    return bool(block.size and (block.min() < least or block.max() >= end))


def _is_order(rows: np.ndarray) -> bool:
    """Whether rows name each of as many once."""
    if _outside(rows, 0, len(rows)):
        return False
    named = np.zeros(len(rows), bool)
    named[rows] = True
    return bool(named.all())


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(array), ROWS):
        yield array[start : start + ROWS]
