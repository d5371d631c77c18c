"""Write a generation folder: everything serving needs of a trained model, sealed by its manifest.

Knows the folder's format and no store. Nothing it writes can run: npy arrays, safetensors, JSON.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from recsys.generation import soundness
from recsys.generation.manifest import (
    RANKER,
    SPEC,
    TOWERS,
    USER_IDS,
    USER_RECORDS,
    GenerationFolder,
    Manifest,
    describe,
    new_id,
)
from recsys.generation.packed_strings import StringTable
from recsys.generation.smoke_queries import SmokeQueries
from recsys.generation.verification import Proof
from recsys.lists.user_record import UserRecord
from recsys.model.ranker import Ranker
from recsys.retrieval.registry import RETRIEVED
from recsys.types import F64, HISTORY_LENGTH, I32, I64, PAD
from training.config import TrainingConfig
from training.data.interaction_log import Log
from training.evaluation.metric_table import SERVED, Evaluation
from training.first_stage import FirstStage
from training.gate.dataset_profile import DataProfile
from training.progress import Progress, no_progress
from training.recipe import Trained

CHUNK = 256
"""Users scored at once."""


def export(
    parent: Path,
    log: Log,
    trained: Trained,
    config: TrainingConfig,
    name: str = "",
    bad_rows: int = 0,
    progress: Progress = no_progress,
    *,
    profile: DataProfile | None = None,
    forced: Sequence[str] = (),
) -> GenerationFolder:
    """Write a generation of `trained` into a new folder under `parent`, named by its id.

    For the manifest, name, bad_rows: the dataset's name and how many of its rows were refused. profile: what the next
    run's gate compares its data with. forced: what this run's gate refused.
    """
    generation = new_id()
    path = parent / generation
    path.mkdir(parents=True)
    stage = trained.stage
    (path / SPEC).write_text(log.catalogue.spec.to_json(), encoding="utf-8")
    stage.towers.save(path / TOWERS)
    trained.net.save(path / RANKER)
    stage.tables.save(path)
    save_strings(path, USER_IDS, StringTable.pack(str(user) for user in log.user_ids))
    popularity = stage.tables.popularity[:, 0].astype(np.float64)
    SmokeQueries.make_up(popularity, log.end, stage.retriever, stage.ranker(trained.net)).save(path)
    save_blobs(path, USER_RECORDS, records(log, stage, stage.ranker(trained.net), config.precomputed, progress))
    folder = GenerationFolder(path)
    folder.seal(
        Manifest(
            id=generation,
            created=time.time(),
            code_version=code_version(),
            parts=describe(path),
            dims={
                "items": len(stage.tables),
                "embedding": stage.tables.embeddings.shape[1],
                "users": len(log.user_ids),
                "history": HISTORY_LENGTH,
                "candidates": config.precomputed,
            },
            data={
                "name": name,
                "rows": len(log),
                "users": len(log.user_ids),
                "items": len(log.catalogue),
                "first": float(log.times[0]),
                "last": log.end,
                "bad_rows": bad_rows,
                **(profile.to_json() if profile else {}),
            },
            settings={
                "sources": [source.name for source in RETRIEVED],
                "exclude_seen": stage.exclude_seen.to_json(),
                "item_id_type": id_type(log.catalogue.ids),
                "user_id_type": id_type(log.user_ids),
            },
            metrics=summary(trained.evaluation),
            forced=list(forced),
        )
    )
    soundness.check(folder)
    Proof(folder).note()
    return folder


def records(
    log: Log, stage: FirstStage, ranker: Ranker, precomputed: int, progress: Progress = no_progress
) -> Iterator[bytes]:
    """The packed `UserRecord` of every user, in the order of `log.user_ids`."""
    order, offsets = log.by_user
    for start in range(0, len(log.user_ids), CHUNK):
        users = np.arange(start, min(start + CHUNK, len(log.user_ids)))
        best = precompute(log, users, stage, ranker, precomputed)
        for user, candidates in zip(users, best, strict=True):
            events = order[offsets[user] : offsets[user + 1]]
            newest = events[-HISTORY_LENGTH:]
            seen, until = _seen_until(log, events)
            yield UserRecord(
                items=log.items[newest],
                times=log.times[newest],
                types=log.types[newest],
                seen=seen,
                candidates=candidates[candidates != PAD],
                until=until,
            ).pack()
        progress((users[-1] + 1) / len(log.user_ids), f"{users[-1] + 1:,} users")


def precompute(log: Log, users: I64, stage: FirstStage, ranker: Ranker, k: int) -> I32:
    """The k best of the two-stage path after all that `users` did: [B, k] int32, best first, padded on the right."""
    histories = log.final_histories(users)
    candidates = stage.retriever.retrieve(histories)
    scores = ranker.score(histories, candidates)
    if stage.exclude_seen.excludes:
        scores[_hidden(log, users, candidates.items)] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(candidates.items, order, axis=1)
    return np.where(np.isfinite(np.take_along_axis(scores, order, axis=1)), best, PAD).astype(np.int32)


def _seen_until(log: Log, events: I64) -> tuple[I32, F64]:
    """The items of one user's events, ascending, and until when each is hidden; no times where the rule needs none."""
    seen, place = np.unique(log.items[events], return_inverse=True)
    if log.exclude_seen.everything or not log.exclude_seen.excludes:
        return seen, np.zeros(0, np.float64)
    until = np.zeros(len(seen), np.float64)
    np.maximum.at(until, place, log.hidden_until[events])
    return seen, until


def _hidden(log: Log, users: I64, items: I32) -> np.ndarray:
    """Whether `exclude_seen` keeps each of `items` [B, K] from its user at the log's end."""
    row, seen = log.seen_by(users)
    width = len(log.catalogue) + 1
    return np.isin(items + np.arange(len(users), dtype=np.int64)[:, None] * width, seen + row * width)


def save_strings(folder: Path, name: str, strings: StringTable) -> None:
    """Write a string table's two arrays."""
    np.save(folder / f"{name}.data.npy", strings.data)
    np.save(folder / f"{name}.offsets.npy", strings.offsets)


def save_blobs(folder: Path, name: str, blobs: Iterable[bytes]) -> None:
    """Write byte strings as a string table's two arrays, each as it comes: all users' records are more than fits."""
    sizes = [0]
    with (folder / f"{name}.data.npy").open("wb") as file:
        _write_header(file, 0)
        for blob in blobs:
            file.write(blob)
            sizes.append(len(blob))
        file.seek(0)
        _write_header(file, sum(sizes))
    np.save(folder / f"{name}.offsets.npy", np.cumsum(sizes, dtype=np.int64))


def _write_header(file: BinaryIO, count: int) -> None:
    """The header of an npy file of bytes; numpy leaves room in it for a count that grows."""
    np.lib.format.write_array_header_1_0(file, {"shape": (count,), "fortran_order": False, "descr": "|u1"})


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """What the manifest keeps of an evaluation: the served row, the best baseline's, the scores and the warnings."""
    best, glimpse = evaluation.best_baseline, evaluation.glimpse
    return {
        "protocol": evaluation.protocol,
        "targets": list(evaluation.targets),
        SERVED: evaluation.served,
        "best_baseline": {"name": best, **evaluation.rows[best]},
        "warnings": list(evaluation.warnings),
        # One feature in the ranker's place is on a scale of its own: nothing to compare a taught ranker with.
        "scores": glimpse.scores.to_json() if glimpse and not evaluation.order else None,
    }


def id_type(ids: np.ndarray) -> str:
    """Whether ids came as integers or as strings."""
    return "str" if len(ids) and isinstance(ids[0], str) else "int"


def code_version() -> str:
    """The commit of this checkout, or the version of the installed package."""
    root = Path(__file__).resolve().parent.parent
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
        try:
            return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass  # no git on this machine: the package's version says as much as is known
    try:
        return importlib.metadata.version("tandem-recommender")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
