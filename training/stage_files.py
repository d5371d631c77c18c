"""The files that stages of a training leave: a run that was killed goes on from them.

A file is named by a hash of what decides its content: the data, the configuration and the text of the code. So other
data makes another file, and after an edit of a module its stage runs again. `python -m training advise` takes the
models of the last evaluation from these files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import torch

from recsys.files.atomic_write import atomic_write

T = TypeVar("T")

KEPT = 7 * 86_400.0
"""Age in seconds at which a file is deleted."""

MOST = 6
"""Files of evaluations after a successful run, at most: an evaluation has three."""

ROOT = Path(__file__).resolve().parents[1]

STAGES = ("read", "encode", "fit", "rank")
"""The stages in their order: the code of a stage is its folder, those before it, and what all of them use."""

SHARED = ("training/processes", "training/config.py", "training/device.py", "training/ranking_metrics.py", "recsys")


def _text_of(*names: str) -> bytes:
    """The text of modules and of folders of modules, each after its path."""
    found = [ROOT / name for name in names]
    modules = [module for path in found for module in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    return b"".join(f"{module.relative_to(ROOT)}\0".encode() + module.read_bytes() for module in modules)


CODE = {
    stage: hashlib.sha256(_text_of(*SHARED, *(f"training/{each}" for each in STAGES[: at + 1]))).hexdigest()
    for at, stage in enumerate(STAGES)
}
"""A hash of the code of each stage, read at import: an edit during a run does not change the code that runs."""


class State:
    """A file with the state of a stage that is not complete."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file; a kill leaves the old state or the new one."""
        with atomic_write(self._path) as draft:
            torch.save(state, draft)

    def load(self) -> dict[str, Any] | None:
        """The saved state, on the CPU; None where there is no file, or the file can't be read."""
        try:
            state: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
        except Exception:  # a damaged byte can make the unpickler raise any error
            return None
        return state


class StageFiles:
    """A folder of results, each a folder of files, and of states of stages that were killed."""

    def __init__(self, folder: Path) -> None:
        """Delete what is older than KEPT."""
        self._folder, self._served = folder, list[str]()
        for path in folder.glob("*"):
            if time.time() - path.stat().st_mtime > KEPT:
                _delete(path)

    def name(self, stage: str, *key: object, served: bool = False) -> str:
        """The name of a stage's files. key: what decides the result beside the code; texts, numbers, dicts and lists.

        served: whether the result is of a model to publish. No later command needs it.
        """
        digest = hashlib.sha256(json.dumps([CODE[stage], torch.__version__, *key], default=str).encode())
        name = f"{stage}-{digest.hexdigest()[:24]}"
        if served:
            self._served.append(name)
        return name

    def state(self, name: str) -> State:
        """The state of a stage that is not complete."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return State(self._folder / f"{name}.pt")

    def result(
        self, name: str, make: Callable[[], T], write: Callable[[T, Path], object], read: Callable[[Path], T]
    ) -> T:
        """The result of a stage: read from its folder, or made and written to it. A damaged folder is made again."""
        path = self._folder / name
        if path.is_dir():
            try:
                return read(path)
            except Exception:  # as of a state
                _delete(path)
        found = make()
        with self._complete(path) as draft:
            write(found, draft)
        (self._folder / f"{name}.pt").unlink(missing_ok=True)
        return found

    @contextmanager
    def _complete(self, path: Path) -> Iterator[Path]:
        """A folder to write, which has its name when the block ends without an error."""
        draft = path.with_name(f"{path.name}.{uuid4().hex}")
        draft.mkdir(parents=True)
        try:
            yield draft
            draft.rename(path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def clear(self) -> None:
        """After a successful run: keep the newest files of evaluations, and delete those of the served model."""
        for name in self._served:
            _delete(self._folder / name)
            _delete(self._folder / f"{name}.pt")
        for path in sorted(self._folder.glob("*"), key=lambda path: -path.stat().st_mtime)[MOST:]:
            _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
