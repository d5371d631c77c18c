"""Where a training stands after each epoch, so that a killed one goes on. Tensors and JSON: nothing is pickled."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from training.config import TowerConfig
from training.log import DAY, Log

KEPT = 7 * DAY
"""Seconds that what a killed run left is kept for its next try: nobody comes back for it later."""


class Checkpoint:
    """One file, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Replace what is there; a kill leaves the old or the new."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(f".{os.getpid()}")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, beside, {"facts": json.dumps(facts)})
        beside.replace(self._path)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was saved; None if there is nothing, or nothing that can be read."""
        try:
            with safe_open(self._path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
                return tensors, json.loads(file.metadata()["facts"])
        except (OSError, SafetensorError, KeyError, ValueError):
            return None


class Checkpoints:
    """A folder of them, each named by all that decides how its training goes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for path in folder.glob("towers-*"):
            if time.time() - path.stat().st_mtime > KEPT:
                path.unlink(missing_ok=True)
        self._used: list[Path] = []

    def of(self, log: Log, config: TowerConfig, seed: int, purpose: str) -> Checkpoint:
        """That of training towers on `log`; purpose: what else decides, such as the judge."""
        digest = hashlib.sha256()
        for array in (log.users, log.items, log.times, log.types, log.contexts, log.weights, log.catalogue.content):
            digest.update(array.tobytes())
        facts = [asdict(config), seed, purpose, torch.get_num_threads(), torch.__version__, len(log.catalogue), code()]
        digest.update(json.dumps(facts).encode())
        digest.update(log.catalogue.spec.to_json().encode())
        path = self._folder / f"towers-{digest.hexdigest()[:24]}.safetensors"
        self._used.append(path)
        return Checkpoint(path)

    def clear(self) -> None:
        """Remove what this run used: it has ended well."""
        for path in self._used:
            path.unlink(missing_ok=True)


@cache
def code() -> str:
    """A digest of the code that trains: with the settings and the spec it decides the shape of every weight."""
    root, digest = Path(__file__).parent.parent, hashlib.sha256()
    for path in sorted(path for name in ("recsys", "training") for path in (root / name).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
