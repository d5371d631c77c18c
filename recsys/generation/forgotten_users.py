"""Remove deleted users from the folder of a generation (a trained set of models and tables): ids and records.

The rewritten parts and their manifest are complete in a hidden folder before they replace the old ones, the manifest
last. A run after a kill replaces what is left.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from recsys.files.atomic_write import atomic_write
from recsys.generation.manifest import MANIFEST, USER_IDS, USER_RECORDS, GenerationFolder, Manifest, describe
from recsys.generation.packed_strings import StringTable
from recsys.types import Bool
from recsys.user_digest import digest_of

_DRAFT = ".forgetting"


def forget_users(folder: GenerationFolder, digests: Collection[bytes]) -> list[str]:
    """Remove the users with these digests from a folder, and return their ids. OSError if the disk is full.

    One process at a time may change a folder: the caller holds a lock.
    """
    finish(folder.path)
    ids, records = folder.users()
    kept = np.array([digest_of(user) not in digests for user in ids], bool)
    if kept.all():
        return []
    gone, draft = [ids[row] for row in np.flatnonzero(~kept).tolist()], folder.path / _DRAFT
    draft.mkdir()
    for name, table in ((USER_IDS, ids), (USER_RECORDS, records)):
        _save(draft, name, table, kept)
    for part in draft.iterdir():  # a power cut must not leave the manifest without the parts
        _flush(part)
    with atomic_write(draft / MANIFEST, durable=True) as file:
        file.write_text(_without(folder.manifest, draft, len(gone)).to_json(), encoding="utf-8")
    finish(folder.path)
    return gone


def finish(path: Path) -> None:
    """Replace the parts of a folder by those of a complete draft; an incomplete draft of a killed run is removed."""
    draft = path / _DRAFT
    if (draft / MANIFEST).is_file():
        for file in sorted(draft.iterdir(), key=lambda file: file.name == MANIFEST):
            file.replace(path / file.name)
    shutil.rmtree(draft, ignore_errors=True)


def _flush(file: Path) -> None:
    """Flush a file to the disk."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def _without(manifest: Manifest, draft: Path, count: int) -> Manifest:
    """The manifest with the new parts. The number of users stays, because the hashes of the store depend on it."""
    forgotten = manifest.dims.get("forgotten", 0) + count
    return replace(manifest, parts=manifest.parts | describe(draft), dims=manifest.dims | {"forgotten": forgotten})


def _save(folder: Path, name: str, table: StringTable, kept: Bool) -> None:
    """Write the kept rows of a table. The bytes between two removed rows are copied at once, through mapped files."""
    offsets = np.asarray(table.offsets)
    np.save(folder / f"{name}.offsets.npy", np.concatenate([[0], np.cumsum(np.diff(offsets)[kept])]).astype(np.int64))
    target = folder / f"{name}.data.npy"
    gone = np.flatnonzero(~kept)
    starts, ends = np.append(0, offsets[gone + 1]), np.append(offsets[gone], offsets[-1])
    size = int((ends - starts).sum())
    with target.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"shape": (size,), "fortran_order": False, "descr": "|u1"})
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            file.write(table.data[start:end].data)
