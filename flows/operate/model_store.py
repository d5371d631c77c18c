"""Save trained models in BentoML's model store, and pin the ones that the next bento (BentoML's package) includes.

Users' records are left out, because a bento becomes part of a container image that others may pull. A lock allows one
writer at a time, because BentoML loses models that are created at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flows.operate.bentoml_model import reason
from recsys.environment import Environment
from recsys.errors import GenerationError, StoreError
from recsys.generation.manifest import MANIFEST, GenerationFolder, Manifest
from recsys.process import parent_death

ROOT = Path(__file__).resolve().parents[2]

NAME = "tandem"
MODEL = "model.yaml"
PIN = "pinned.json"
"""The file that names the model of the next bento. `make build` passes it to `bentoml build`."""


class ModelStore:
    """BentoML's store under this deployment's home."""

    def __init__(self, environment: Environment) -> None:
        self._home = environment.folder("bentoml")
        self._models = self._home / "models" / NAME
        self._pin = self._home / PIN
        self._generations = environment.folder("generations")

    def save(self, folder: GenerationFolder) -> str:
        """Save a generation if it is missing or incomplete, and return its tag; StoreError if that fails."""
        manifest = folder.manifest
        tag = f"{NAME}:{manifest.id}"
        with self._locked(f"Generation {manifest.id} can't be saved in"):
            if not self._is_saved(manifest):
                self._create(tag, folder, manifest)
        return tag

    def pin(self, generation: str) -> str:
        """Include a generation in the next bento and return its tag; GenerationError if this host does not have it."""
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
        """Include no generation in the next bento."""
        self._pin.write_text("{}\n", encoding="utf-8")

    def prune(self, kept: set[str]) -> None:
        """Delete all generations that are neither `kept` nor pinned."""
        with suppress(FileNotFoundError, ValueError, KeyError):
            kept = kept | {json.loads(self._pin.read_text(encoding="utf-8"))["model"].partition(":")[2]}
        with self._locked("Old generations can't be removed from"):
            for version in self._versions():
                if version.name not in kept:
                    shutil.rmtree(version)
            self._sweep()

    def _versions(self) -> list[Path]:
        """The folders of the saved generations."""
        return [path for path in self._models.glob("*") if path.is_dir()]

    def _is_saved(self, manifest: Manifest) -> bool:
        """Whether a generation is saved completely. A killed save may lack parts although it has both manifests."""
        try:
            return GenerationFolder(self._models / manifest.id).verify() == manifest
        except GenerationError:
            return False

    def _create(self, tag: str, folder: GenerationFolder, manifest: Manifest) -> None:
        target = self._models / manifest.id
        if target.exists():
            shutil.rmtree(target)
        model = tag, str(manifest.data.get("name", "")), str(folder.path.resolve())
        try:
            done = subprocess.run(
                [sys.executable, "-m", "flows.operate.bentoml_model", *model, *manifest.stored_parts, MANIFEST],
                cwd=ROOT,
                env=os.environ | {"BENTOML_HOME": str(self._home.resolve()), "BENTOML_DO_NOT_TRACK": "True"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                start_new_session=True,  # Ctrl-C reaches this process, which ends the child
                preexec_fn=parent_death.preexec(),
            )
            if done.returncode != 0:
                lines = done.stderr.strip().splitlines()
                raise OSError(lines[-1] if lines else f"exit code {done.returncode}")
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)  # BentoML leaves an incomplete model
            raise

    def _sweep(self) -> None:
        """Remove incomplete models of killed saves: BentoML lists no model at all if one has no model.yaml."""
        for version in self._versions():
            if not all(_has_bytes(version / name) for name in (MODEL, MANIFEST)):
                shutil.rmtree(version)
        latest = self._models / "latest"
        if latest.is_file() and latest.read_text(encoding="utf-8") not in {path.name for path in self._versions()}:
            latest.unlink()  # an empty one fails every save; BentoML writes it again

    @contextmanager
    def _locked(self, failed: str) -> Iterator[None]:
        """Hold the lock of the store and remove incomplete models; StoreError begins with `failed`."""
        models = self._models.parent
        try:
            models.mkdir(exist_ok=True)
            with (self._home / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._sweep()
                yield
        except OSError as error:
            raise StoreError(
                f"{failed} the model store {self._home} ({reason(error)}). What is live is untouched; "
                f"make room, set TANDEM_HOME to another disk, or move what is broken in {models} away, and run again."
            ) from error


def _has_bytes(path: Path) -> bool:
    """Whether a file exists and is not empty."""
    return path.is_file() and path.stat().st_size > 0
