"""Export a trained model as a generation: a folder with the models and tables that servers need, sealed by a manifest.

The files are npy arrays, safetensors and JSON, so that no file can run code.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from recsys.generation import content_checks
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
from recsys.kernels.recent_events import NO_EVENTS
from recsys.model.ranker import RankerNet
from recsys.retrieval.registry import RETRIEVED
from recsys.types import HISTORY_LENGTH
from training.config import TrainingConfig
from training.encode.catalogue import id_type
from training.encode.interaction_log import Log
from training.export import training_slates
from training.export.user_records import RecordWork, packed_records
from training.fit.first_stage import FirstStage
from training.judge.gate.dataset_profile import DataProfile
from training.judge.gate.past_generations import PastGeneration
from training.judge.metric_table import SERVED, Evaluation
from training.processes.engine import LOCAL, Engine
from training.progress import StepProgress, no_step


@dataclass(frozen=True)
class TrainedModel:
    """A model of every event of the log, and the evaluation of the same recipe without the newest part."""

    stage: FirstStage
    net: RankerNet
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class Origin:
    """What a manifest records of a run beside its model: the dataset and the gate.

    name: of the dataset. bad_rows: rows in quarantine. profile: for the gate of the next run. forced: failed checks of
    the gate that the run was forced past. past: the better generations of 30 days before it.
    """

    name: str = ""
    bad_rows: int = 0
    profile: DataProfile | None = None
    forced: Sequence[str] = ()
    past: Sequence[PastGeneration] = ()


def export(
    parent: Path,
    log: Log,
    trained: TrainedModel,
    config: TrainingConfig,
    origin: Origin | None = None,
    progress: StepProgress = no_step,
    engine: Engine = LOCAL,
) -> GenerationFolder:
    """Write a generation into a new folder under `parent`, named by its id. engine: computes the records of users."""
    path = parent / new_id()
    path.mkdir(parents=True)
    stage, ranker = trained.stage, trained.stage.ranker(trained.net, log)
    (path / SPEC).write_text(log.catalogue.spec.to_json(), encoding="utf-8")
    stage.towers.save(path / TOWERS)
    trained.net.save(path / RANKER)
    stage.tables.save(path)
    StringTable.pack(str(user) for user in log.user_ids).save(path, USER_IDS)
    popularity = stage.tables.popularity[:, 0].astype(np.float64)
    SmokeQueries.generate(popularity, log.end, stage.retriever, ranker.counting(NO_EVENTS)).save(path)
    work = RecordWork(log, stage, trained.net, config.precomputed)
    save_blobs(path, USER_RECORDS, packed_records(work, progress, engine))
    training_slates.save(path, training_slates.make(log, stage, trained.net))
    folder = GenerationFolder(path)
    folder.seal(_manifest(path, log, trained, config, origin or Origin()))
    content_checks.check(folder)
    folder.note_verified()
    return folder


def _manifest(path: Path, log: Log, trained: TrainedModel, config: TrainingConfig, origin: Origin) -> Manifest:
    tables = trained.stage.tables
    return Manifest(
        id=path.name,
        created=time.time(),
        code_version=code_version(),
        parts=describe(path),
        dims={
            "items": len(tables),
            "embedding": tables.embeddings.shape[1],
            "users": len(log.user_ids),
            "history": HISTORY_LENGTH,
            "candidates": config.precomputed,
        },
        data={
            "name": origin.name,
            "rows": len(log),
            "users": len(log.user_ids),
            "items": len(log.catalogue),
            "first": float(log.times[0]),
            "last": log.end,
            "bad_rows": origin.bad_rows,
            **(origin.profile.to_json() if origin.profile else {}),
        },
        settings={
            "sources": [source.name for source in RETRIEVED],
            "exclude_seen": trained.stage.exclude_seen.to_json(),
            "item_id_type": id_type(log.catalogue.ids),
            "user_id_type": id_type(log.user_ids),
        },
        metrics=_metrics(trained.evaluation) | {"past": [asdict(each) for each in origin.past]},
        forced=list(origin.forced),
    )


def _metrics(evaluation: Evaluation) -> dict[str, Any]:
    """What a manifest keeps of an evaluation: the served row, the best baseline's row, the scores and the warnings."""
    best, preview = evaluation.best_baseline, evaluation.preview
    return {
        "protocol": evaluation.protocol,
        "targets": list(evaluation.targets),
        SERVED: evaluation.served,
        "best_baseline": {"name": best, **evaluation.rows[best]},
        "warnings": list(evaluation.warnings),
        "impressions": asdict(evaluation.impressions) if evaluation.impressions else None,
        # The scores of a simple order have a scale of their own: they can't be compared with a trained ranker's.
        "scores": preview.scores.to_json() if preview and not evaluation.order else None,
    }


def save_blobs(folder: Path, name: str, blobs: Iterable[bytes]) -> None:
    """Write byte strings as the two arrays of a string table, one at a time: all of them may not fit into memory."""
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
    """Write the header of an npy file of bytes; numpy pads it so that a larger count fits into the same space."""
    np.lib.format.write_array_header_1_0(file, {"shape": (count,), "fortran_order": False, "descr": "|u1"})


def code_version() -> str:
    """The commit of this checkout, or the version of the installed package."""
    root = Path(__file__).resolve().parents[2]
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
        try:
            return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass  # without git, the version of the package has to do
    try:
        return importlib.metadata.version("tandem-recommender")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
