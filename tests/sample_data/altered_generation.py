"""A copy of a generation with a change, whose manifest fits the changed parts."""

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
