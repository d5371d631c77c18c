"""Copies a generation (a folder of trained models and tables) with a change, for tests of bad or other contents.

The copy's manifest has the hashes of the changed files.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from recsys.generation.manifest import MANIFEST, GenerationFolder, describe


def altered(
    folder: GenerationFolder, target: Path, change: Callable[[Path], object] = lambda _: None, **manifest: Any
) -> GenerationFolder:
    """Copy a generation to `target`, whose name is the new id, and change its files. manifest: changed fields."""
    shutil.copytree(folder.path, target)
    change(target)
    copy = GenerationFolder(target)
    new = replace(copy.manifest, id=target.name, parts=describe(target), **manifest)
    (target / MANIFEST).unlink()
    copy.seal(new)
    return copy
