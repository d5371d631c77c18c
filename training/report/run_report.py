"""What a run found out, gathered while it runs: all that its report shows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from training.config import TrainingConfig
from training.data.dataset import Dataset
from training.data.interaction_log import Log
from training.evaluation.metric_table import Evaluation
from training.gate.check import Check
from training.gate.dataset_profile import DataProfile, Live
from training.progress import Curve


@dataclass
class Findings:
    """A run, from what is known at its start to what came of it.

    window: times of the first and the last event. quarantined: {table: {reason: rows}}. bad_values:
    {table: {reason: values}}. curves: of `LearningCurves`, filled during the run. generation: its id, None where
    nothing was published. refused: whether the gate stopped it.
    """

    data: DataProfile
    window: tuple[float, float]
    quarantined: Mapping[str, Mapping[str, int]]
    config: TrainingConfig
    curves: Mapping[str, Curve]
    bad_values: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    live: Live | None = None
    started: float = field(default_factory=time.time)
    evaluation: Evaluation | None = None
    checks: list[Check] = field(default_factory=list)
    generation: str | None = None
    refused: bool = False

    @classmethod
    def of(cls, dataset: Dataset, log: Log, config: TrainingConfig, curves: Mapping[str, Curve]) -> Findings:
        """The start of a run over a log."""
        window = (float(log.times[0]), log.end)
        profile = DataProfile.of(dataset, log)
        return cls(profile, window, dataset.quarantined, config, curves, dataset.bad_values)
