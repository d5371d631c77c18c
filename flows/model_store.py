"""Generations in BentoML's model store, by explicit version, and the one that the next bento pins.

What users did stays out: a model becomes part of an image, and an image travels. One writer at a time, since BentoML's
store loses most of several that create at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from recsys.environment import Environment
from recsys.errors import GenerationError, StoreError
from recsys.generation import MANIFEST, GenerationFolder, Manifest

NAME = "tandem"
MODEL = "model.yaml"
PIN = "pinned.json"
"""Beside the store: names the model that the next bento pins. `make build` copies this file into the bento."""


class ModelStore:
    """BentoML's store under this deployment's home."""

    def __init__(self, environment: Environment) -> None:
        self._home = environment.folder("bentoml")
        self._models = self._home / "models" / NAME
        self._pin = self._home / PIN
        self._generations = environment.folder("generations")

    def save(self, folder: GenerationFolder) -> str:
        """The tag of a generation, saved if it is not there whole; StoreError where disk or BentoML refuse."""
        manifest = folder.manifest
        tag = f"{NAME}:{manifest.id}"
        with self._alone(f"Generation {manifest.id} can't be saved in") as store:
            if not self._holds(manifest):
                self._create(store, tag, folder, manifest)
        return tag

    def pin(self, generation: str) -> str:
        """The tag of a generation that the next bento will hold; GenerationError where this host does not have it."""
        folder = GenerationFolder(self._generations / generation)
        if not (folder.path / MANIFEST).is_file():
            raise GenerationError(
                f"Generation {generation} is not in {self._generations}. Pin on the host that made it, or run there: "
                "python -m flows run --data DIR."
            )
        folder.verify()
        tag = self.save(folder)
        self._pin.write_text(json.dumps({"model": tag}) + "\n", encoding="utf-8")
        return tag

    def unpin(self) -> None:
        """Let the next bento hold no generation."""
        self._pin.unlink(missing_ok=True)

    def prune(self, kept: set[str]) -> None:
        """Drop the versions of generations that are neither `kept` nor pinned."""
        with suppress(FileNotFoundError, ValueError, KeyError):
            kept = kept | {json.loads(self._pin.read_text(encoding="utf-8"))["model"].partition(":")[2]}
        with self._alone("Old generations can't be removed from") as store:
            for version in self._versions():
                if version.name not in kept:
                    store.delete(f"{NAME}:{version.name}")

    def _versions(self) -> list[Path]:
        """The folders of the generations that were saved."""
        return [path for path in self._models.glob("*") if path.is_dir()]

    def _holds(self, manifest: Manifest) -> bool:
        """Whether a generation is there, byte for byte: a killed save may lack parts beside both of its manifests."""
        try:
            return GenerationFolder(self._models / manifest.id).verify() == manifest
        except GenerationError:
            return False

    def _create(self, store: Any, tag: str, folder: GenerationFolder, manifest: Manifest) -> None:
        from bentoml.models import create

        target = self._models / manifest.id
        if target.exists():
            shutil.rmtree(target)
        try:
            with create(tag, labels={"dataset": str(manifest.data.get("name", ""))}, _model_store=store) as model:
                for name in (*manifest.stored_parts, MANIFEST):
                    shutil.copyfile(folder.path / name, Path(model.path) / name)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)  # BentoML leaves half of it
            raise

    def _sweep(self) -> None:
        """Remove what killed saves left: past a version without its model.yaml BentoML lists none at all."""
        for version in self._versions():
            if not all(_has_bytes(version / name) for name in (MODEL, MANIFEST)):
                shutil.rmtree(version)
        latest = self._models / "latest"
        if latest.is_file() and latest.read_text(encoding="utf-8") not in {path.name for path in self._versions()}:
            latest.unlink()  # an empty one stops every save; BentoML makes it anew

    @contextmanager
    def _alone(self, failed: str) -> Iterator[Any]:
        """The store, swept, with no other writer of ours; StoreError begins with `failed`."""
        os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
        # Its one way to name a store: BENTOML_HOME is read once, when BentoML is first imported.
        from bentoml._internal.models import ModelStore as Store
        from bentoml.exceptions import BentoMLException

        models = self._models.parent
        try:
            models.mkdir(exist_ok=True)
            with (self._home / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._sweep()
                yield Store(models)
        except OSError as error:
            raise StoreError(
                f"{failed} the model store {self._home} ({_reason(error)}). What is live is untouched; "
                "make room, or set TANDEM_HOME to another disk, and run again."
            ) from error
        except BentoMLException as error:
            raise StoreError(
                f"{failed} the model store {self._home}: BentoML says {str(error)!r}. What is live is untouched; "
                f"move away what is broken in {models}, and run again."
            ) from error


def _reason(error: OSError) -> str:
    """The system's word for what went wrong; shutil packs several, each with two paths before it."""
    if isinstance(error, shutil.Error):
        return str(error.args[0][-1][-1])
    return error.strerror or str(error)


def _has_bytes(path: Path) -> bool:
    """Whether a file is there and not empty."""
    return path.is_file() and path.stat().st_size > 0
