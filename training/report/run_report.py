"""The results of a training run, collected while it runs for its report page: data, settings, metrics and checks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from training.config import TrainingConfig
from training.evaluation.metric_table import Evaluation
from training.gate.check import Check
from training.gate.dataset_profile import DataProfile, LiveGeneration
from training.progress import Curve


@dataclass
class RunReport:
    """A run: its data and configuration from the start, the rest as the run reaches it.

    curves: of `LearningCurves`, filled during the run. live: the live generation, None if there is none. generation:
    the published id, None if nothing was published. refused: whether the gate stopped the run.
    """

    data: DataProfile
    config: TrainingConfig
    curves: Mapping[str, Curve]
    live: LiveGeneration | None = None
    started: float = field(default_factory=time.time)
    evaluation: Evaluation | None = None
    checks: list[Check] = field(default_factory=list)
    generation: str | None = None
    refused: bool = False
