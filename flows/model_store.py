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
from recsys.generation import MANIFEST, GenerationFolder

NAME = "tandem"
PIN = Path(__file__).resolve().parent.parent / "pinned.json"


class ModelStore:
    """BentoML's store under this deployment's home."""

    def __init__(self, environment: Environment) -> None:
        self._home = environment.folder("bentoml")
        self._generations = environment.folder("generations")

    def save(self, folder: GenerationFolder) -> str:
        """The tag of a generation, saved if it is not there yet; StoreError where the disk takes none."""
        manifest = folder.manifest
        tag = f"{NAME}:{manifest.id}"
        try:
            with self._alone() as store:
                if not any(str(model.tag) == tag for model in store.list()):
                    from bentoml.models import create

                    labels = {"dataset": str(manifest.data.get("name", ""))}
                    with create(tag, labels=labels, _model_store=store) as model:
                        for name in (*manifest.stored_parts, MANIFEST):
                            _link(folder.path / name, Path(model.path) / name)
        except OSError as error:
            shutil.rmtree(self._home / "models" / NAME / manifest.id, ignore_errors=True)  # BentoML leaves half of it
            raise StoreError(
                f"Generation {manifest.id} can't be saved in the model store {self._home} ({_reason(error)}). "
                "What is live is untouched; make room, or set TANDEM_HOME to another disk, and run again."
            ) from error
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
        PIN.write_text(json.dumps({"model": tag}) + "\n", encoding="utf-8")
        return tag

    def prune(self, kept: set[str]) -> None:
        """Drop the versions of generations that are neither `kept` nor pinned."""
        with suppress(FileNotFoundError, ValueError, KeyError):
            kept = kept | {json.loads(PIN.read_text(encoding="utf-8"))["model"].partition(":")[2]}
        with self._alone() as store:
            for model in store.list():
                if model.tag.name == NAME and model.tag.version not in kept:
                    store.delete(model.tag)

    @contextmanager
    def _alone(self) -> Iterator[Any]:
        """The store, with no other writer of ours."""
        os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
        # Its one way to name a store: BENTOML_HOME is read once, when BentoML is first imported.
        from bentoml._internal.models import ModelStore as Store

        (self._home / "models").mkdir(exist_ok=True)
        with (self._home / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Store(self._home / "models")


def unpin() -> None:
    """Let the next bento hold no generation."""
    PIN.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    """The system's word for what went wrong; shutil packs several, each with two paths before it."""
    if isinstance(error, shutil.Error):
        return str(error.args[0][-1][-1])
    return error.strerror or str(error)


def _link(source: Path, target: Path) -> None:
    """The same bytes under two names where one disk holds both; parts are never written again."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
