"""The Prefect flow `experiment-report`: read an experiment from the slates that `drain` wrote, and write its report.

The report is an HTML page and, as Parquet, the rows that the figures were computed from: one for each user and surface.
The rows name no user. A deleted user is not in the rows of the next report.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from socket import gethostname
from typing import Annotated

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.operate.experiments import live_spec
from flows.orchestration import best_effort, name_run, restart_after_crash, store_step, write_result
from flows.progress import artifact_key
from flows.run_records import recorded_flow
from flows.steps import experiment_sums
from flows.steps.experiment_rows import read_rows, write_rows
from recsys.environment import Environment
from recsys.errors import ExperimentError
from recsys.experiments import changes
from recsys.experiments.document import Experiment, ExperimentsDocument
from recsys.store.from_environment import OpenStore, open_store
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.redis.redis_experiments import RedisExperimentStore
from recsys.store.run_record import RunFigures
from training.experiments.experiment_page import operation_table, page
from training.experiments.guardrails import LOOKS, Look
from training.experiments.reading import ALL, Reading, read
from training.experiments.verdict import breaches, judge
from training.experiments.window import window_of
from training.read.impressions import FOLDER
from training.read.locations import exports
from training.report.page import write

PAGES = "experiments"
"""The folder of pages and rows, below TANDEM_HOME and TANDEM_EXPORTS."""


@dataclass(frozen=True)
class ReportResult:
    """The result of a run. since, until: the window, unix seconds. words: the verdict on each arm.

    page, rows: the paths of the HTML page and of the Parquet file. reading: the figures.
    """

    experiment: str
    since: float
    until: float
    words: Mapping[str, str]
    verdict: str
    page: str
    rows: str
    reading: Reading


@dataclass(frozen=True)
class ReportInputs:
    """What the store has of an experiment. looks: of the monitor.

    targets: types of events that recommendations should lead to, in the live generation; empty for all types.
    """

    experiment: Experiment
    targets: Sequence[str]
    looks: Sequence[Look]


@dataclass(frozen=True)
class ReportsResult:
    """The result of a run over all experiments. verdicts: by experiment. halted: the reason of each arm halted now.

    lifts: by `experiment/arm`, of the primary metric: the relative lift, its lower and its upper bound.
    """

    verdicts: dict[str, str] = field(default_factory=dict)
    halted: dict[str, str] = field(default_factory=dict)
    lifts: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    def figures(self) -> RunFigures:
        """For the record of the run."""
        return RunFigures(lifts=self.lifts)


@flow(name="experiment-report", timeout_seconds=3_600, on_crashed=[restart_after_crash])
def experiment_report(
    name: Annotated[str, Field(description="the experiment")],
    since: Annotated[
        float | None, Field(description="begin of the window, unix seconds; default: the last ramp")
    ] = None,
) -> ReportResult:
    """Read an experiment, and write its page and rows."""
    environment = Environment.read()
    name_run(f"experiment-report-{name}")
    with open_store(environment) as store:
        inputs = read_inputs(store, name)
    return make_report(environment, inputs, since)


@recorded_flow("experiment-reports", timeout_seconds=3_600)
def experiment_reports() -> ReportsResult:
    """Read all running experiments, and halt arms that break the guardrails click_rate_drop or sample_ratio.

    ExperimentError at the end names the experiments that could not be read.
    """
    environment, result = Environment.read(), ReportsResult()
    unread: list[str] = []
    with open_store(environment) as opened:
        for experiment in opened.experiments().read().running(time.time()):
            try:
                if experiment.shares:
                    _judge(opened, environment, experiment.name, result)
            except Exception as error:  # the others are judged all the same
                get_run_logger().exception("Experiment %s could not be read.", experiment.name)
                unread.append(f"{experiment.name} ({error})")
    for arm, why in result.halted.items():
        get_run_logger().warning("Arm %s was halted: %s", arm, why)
    write_result(result)
    if unread:
        raise ExperimentError(f"Not read, so not judged: {', '.join(unread)}.")
    return result


def _judge(store: OpenStore, environment: Environment, name: str, result: ReportsResult) -> None:
    """Make the report of an experiment, halt its arms that break a guardrail, and add both to the result."""
    inputs = read_inputs(store, name)
    made = make_report(environment, inputs)
    result.verdicts[name] = made.verdict
    result.lifts.update(_lifts(made))
    stopped = halt(
        store.experiments(), inputs.experiment, breaches(made.reading, inputs.experiment.definition.guardrails)
    )
    result.halted.update({f"{name}/{arm}": why for arm, why in stopped.items()})


def make_report(environment: Environment, inputs: ReportInputs, since: float | None = None) -> ReportResult:
    """Read an experiment from files, and write its page and rows."""
    experiment, name = inputs.experiment, inputs.experiment.name
    window = window_of(experiment, time.time(), since)
    folders = exports(environment, FOLDER), exports(environment, experiment_sums.FOLDER)
    rows = read_rows(*folders, experiment, window, inputs.targets)
    window = replace(window, since=max(window.since, rows.assigned_since or 0.0))
    reading = read(rows, window, experiment.definition.primary, experiment.definition.assignment == "salt")
    verdict = judge(reading)
    served = operation_table(inputs.looks, name, window.groups, experiment.changes[-1].at)
    report = page(experiment, window, reading, verdict, _conversions(inputs.targets), served)
    written = write(report, environment.folder(PAGES) / f"{name}.html").resolve()
    file = write_rows(rows, exports(environment, PAGES) / f"{name}.parquet")
    with best_effort():
        text = f"# {name}\n\n{verdict.sentence}\n\nThe page: `{written}` on `{gethostname()}`.\n"
        create_markdown_artifact(text, artifact_key("experiment", name), f"Report of {name}")
    return ReportResult(name, window.since, window.until, verdict.words, verdict.sentence, str(written), file, reading)


@store_step
def halt(store: RedisExperimentStore, read: Experiment, reasons: Mapping[str, str]) -> Mapping[str, str]:
    """Halt arms of an experiment, unless it was changed since it was read: the reasons are of other shares then."""

    def halted(document: ExperimentsDocument) -> ExperimentsDocument:
        if document.experiments.get(read.name) == read:
            for arm, why in reasons.items():
                document = changes.halt(document, read.name, arm, why, time.time())
        return document

    if not reasons or (after := store.change(halted).experiments.get(read.name)) is None:
        return {}
    return {arm: why for arm, why in reasons.items() if after.halted.get(arm) == why}


@store_step
def read_inputs(store: OpenStore, name: str) -> ReportInputs:
    """What the store has of an experiment."""
    experiments = store.experiments()
    experiment = changes.found(experiments.read(), name)
    return ReportInputs(experiment, _targets(store.generations()), LOOKS.validate_json(experiments.looks() or b"[]"))


def _targets(generations: RedisGenerationStore) -> tuple[str, ...]:
    spec = live_spec(generations)
    return spec.events.targets if spec else ()


def _lifts(made: ReportResult) -> dict[str, tuple[float, float, float]]:
    return {
        f"{made.experiment}/{arm}": (lift.value, lift.low, lift.high)
        for arm, lifts in made.reading.segments[ALL].lifts.items()
        if (lift := lifts[made.reading.primary]) is not None
    }


def _conversions(targets: Sequence[str]) -> str:
    if not targets:
        return "The dataset names no target types in [events], so conversions are clicks."
    return f"A conversion is an event of type {' or '.join(targets)}."
