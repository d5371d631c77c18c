"""Pin a generation (one trained set of models and tables) for `make build`: copy it into BentoML's model store, so that
the next bento, BentoML's package of the service, includes it and serves without Redis.

Users' records are left out, because a bento becomes part of a container image that others may pull.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from recsys.environment import Environment
from recsys.errors import GenerationError, StoreError
from recsys.generation.manifest import MANIFEST, GenerationFolder

NAME = "tandem"
MODEL = "model.yaml"
"""BentoML's description of a model, which it writes last."""

PIN = "pinned.json"
"""The file that names the model of the next bento. `make build` passes it to `bentoml build`."""


def pin(generation: str | None, environment: Environment) -> str | None:
    """Include a generation of this host in the next bento and return its tag; None includes no generation."""
    home = environment.folder("bentoml")
    tag = None if generation is None else save(generation, environment.folder("generations"), home)
    (home / PIN).write_text(json.dumps({"model": tag} if tag else {}) + "\n", encoding="utf-8")
    return tag


def save(generation: str, generations: Path, home: Path) -> str:
    """Copy a generation into BentoML's model store at `home` if it is missing there, and return its tag."""
    folder, models = GenerationFolder(generations / generation), home / "models" / NAME
    if not (folder.path / MANIFEST).is_file():
        raise GenerationError(
            f"Generation {generation} is not in {generations}. Pin on the host that made it, or run there: "
            "python -m flows run --data DIR."
        )
    manifest, tag, target = folder.verify(), f"{NAME}:{generation}", models / generation
    try:
        remove_old(models, generations)
        if not target.exists():
            _create(tag, folder.path, [*manifest.stored_parts, MANIFEST], home)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise StoreError(
            f"Generation {generation} can't be saved in the model store {home} ({error}). What is live is untouched; "
            f"make room, set TANDEM_HOME to another disk, or move what is broken in {models} away, and run again."
        ) from error
    return tag


def remove_old(models: Path, generations: Path) -> None:
    """Remove models that a killed save left incomplete, and those of generations that are no longer on this host.

    BentoML lists no model at all if one is incomplete, and saves none if the file `latest` names no model.
    """
    for version in [path for path in models.glob("*") if path.is_dir()]:
        if not (generations / version.name).is_dir() or not _complete(version):
            shutil.rmtree(version)
    latest = models / "latest"
    if latest.is_file() and not (models / (latest.read_text(encoding="utf-8") or "none")).is_dir():
        latest.unlink()  # BentoML writes it again


def _complete(version: Path) -> bool:
    try:
        GenerationFolder(version).verify()
    except GenerationError:
        return False
    return (version / MODEL).is_file() and (version / MODEL).stat().st_size > 0


def _create(tag: str, folder: Path, files: list[str], home: Path) -> None:
    """Create a model of BentoML from files. BentoML reads BENTOML_HOME, the place of its store, once in a process."""
    os.environ |= {"BENTOML_HOME": str(home.resolve()), "BENTOML_DO_NOT_TRACK": "True"}
    from bentoml import models

    with models.create(tag) as model:
        for name in files:
            shutil.copyfile(folder / name, Path(model.path) / name)
