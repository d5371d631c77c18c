"""Checkpoints of the towers' training, saved after each epoch, so that a killed training continues from its last
complete epoch, and `python -m training advise` has the towers of the last evaluation without a training.

The towers are the two networks that turn a user's history and an item into vectors.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from recsys.files.atomic_write import atomic_write
from training.config import TowerConfig
from training.device import CPU
from training.encode.interaction_log import DAY, Log
from training.processes import process_group

KEPT = 7 * DAY
"""Age in seconds at which a checkpoint is deleted."""

MOST = 6
"""Checkpoints after a successful run, at most: an evaluation has two. Each is some times as large as its towers."""

CODE = (
    "training/fit",
    "training/processes",
    "training/encode/interaction_log.py",
    "training/device.py",
    "training/ranking_metrics.py",
    "recsys/model",
    "recsys/kernels",
    "recsys/types.py",
)
"""The folders and modules whose text decides what a training of towers returns for the same data."""

SERVED = "served"
"""The purpose of the towers that are served. No later command trains them on the same log again."""


class Checkpoint:
    """One file with the state of one training."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file; a kill leaves the old state or the new one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._path) as draft:
            torch.save(state, draft)

    def load(self) -> dict[str, Any] | None:
        """The saved state, on the CPU; None where there is no file, or the file can't be read."""
        try:
            state: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
        except Exception:  # a damaged byte can make the unpickler raise any error
            return None
        return state


class Checkpoints:
    """A folder of checkpoints, each named by a hash of the data, the configuration and the code of its training."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for path in folder.glob("*towers-*"):
            if time.time() - path.stat().st_mtime > KEPT:
                path.unlink(missing_ok=True)
        self._served: list[Path] = []

    def of(self, log: Log, config: TowerConfig, seed: int, purpose: str, device: torch.device = CPU) -> Checkpoint:
        """The checkpoint of a training on `log` by the ranks of this run.

        purpose: what else decides its result, such as the validation.
        """
        digest = hashlib.sha256(CODE_TEXT)
        for array in (log.users, log.items, log.times, log.types, log.contexts, log.weights, log.catalogue.content):
            digest.update(array.tobytes())
        how = [torch.__version__, device.type, process_group.world_size()]
        digest.update(json.dumps([asdict(config), seed, purpose, len(log.catalogue), *how]).encode())
        digest.update(log.catalogue.spec.to_json().encode())
        path = self._folder / f"towers-{digest.hexdigest()[:24]}.pt"
        if purpose == SERVED:
            self._served.append(path)
        return Checkpoint(path)

    def clear(self) -> None:
        """After a successful run: keep the newest checkpoints of evaluations, and delete those of the served towers."""
        for path in self._served:
            path.unlink(missing_ok=True)
        newest_first = sorted(self._folder.glob("towers-*.pt"), key=lambda path: -path.stat().st_mtime)
        for path in newest_first[MOST:]:
            path.unlink(missing_ok=True)


def _code() -> bytes:
    """The text of the modules of CODE, each after its path."""
    root = Path(__file__).resolve().parents[2]
    found = [root / name for name in CODE]
    modules = [module for path in found for module in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    return b"".join(f"{module.relative_to(root)}\0".encode() + module.read_bytes() for module in modules)


CODE_TEXT = _code()
"""Read at import: an edit during a run does not change the code that trains."""
