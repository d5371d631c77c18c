"""Advise a mode for every surface of a product, from freshness curves, costs and the checklist, with the reasons and a
`surfaces.toml` that the service reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_jsonable_python

from recsys.surfaces import Surface, parse, shown_duration, to_toml
from training.advisor import checklist
from training.advisor.advise_options import AdviceOptions, PlannedSurface
from training.advisor.checklist import Checklist, Mode
from training.advisor.cost import CostProfile, Workload, costs, parameters
from training.advisor.curves import NAMES, WHATS, Measurement, What, fit, freshest, misfits
from training.advisor.judgement import NEAR, Case, Judgement, allowed, choose
from training.advisor.thresholds import Threshold, reasons, thresholds

LISTS: tuple[What, What] = ("list", "list_ranked")
"""The curves that say up to which age the mode auto takes a list as it is, and ranks it again."""


@dataclass(frozen=True)
class SurfaceAdvice:
    """The advice for one surface. why: sentences. share: of all slates. entry: of surfaces.toml.

    allowed: the modes that are fresh enough and in time. checklist: with the answers of this surface.
    """

    mode: Mode
    why: list[str]
    thresholds: list[Threshold]
    judgements: Mapping[Mode, Judgement]
    allowed: list[Mode]
    checklist: Checklist
    share: float
    segment: str
    tolerance: float
    deadline_ms: float | None
    entry: Surface


@dataclass(frozen=True)
class Advice:
    """Everything that the page and the JSON show. profile: None where no cost was measured.

    workload: with users and items. assumed: the figures that the user did not state. fresh_until: of each part, the
    greatest measured age in seconds up to which the part is fresh enough; -1: at no age, None: not measured.
    """

    measurement: Measurement
    profile: CostProfile | None
    workload: Workload
    assumed: list[str]
    checklist: Checklist
    surfaces: Mapping[str, SurfaceAdvice]
    fresh_until: Mapping[What, float | None]
    surfaces_toml: str

    def to_json(self) -> dict[str, Any]:
        """All figures, for programs and for the script of the page."""
        figures: dict[str, Any] = to_jsonable_python(self)
        for curve, shown in zip(self.measurement.curves, figures["measurement"]["curves"], strict=True):
            for name in NAMES:
                shown[name]["fit"] = to_jsonable_python(fit(curve, getattr(curve, name)))
        figures["misfits"] = [sentence for curve in self.measurement.curves for sentence in misfits(curve)]
        figures["checklist"]["sentence"] = self.checklist.sentence
        figures["near"] = NEAR
        figures["parameters"] = to_jsonable_python(parameters(self.profile)) if self.profile else None
        return figures


def advise(measurement: Measurement, profile: CostProfile | None, options: AdviceOptions) -> Advice:
    """The advice for every surface of the options."""
    found = {name: getattr(options.workload, name) or getattr(measurement, name) or None for name in ("users", "items")}
    workload = options.workload.model_copy(update=found)
    surfaces = {
        name: _of_surface(measurement, profile, workload, options, name, planned)
        for name, planned in options.surfaces.items()
    }
    notes = {name: [*each.why, *_flows(each.mode, workload)] for name, each in surfaces.items()}
    text = to_toml({name: each.entry for name, each in surfaces.items()}, notes)
    parse(text)  # an error here is a mistake of this code, and the service would refuse the file
    return Advice(
        measurement,
        profile,
        workload,
        [name for name in options.assumed if not found.get(name)],
        checklist.judge(options.answered()),
        surfaces,
        {what: freshest(measurement.curve(what), options.tolerance) for what in WHATS},
        text,
    )


def _of_surface(
    measurement: Measurement,
    profile: CostProfile | None,
    workload: Workload,
    options: AdviceOptions,
    name: str,
    planned: PlannedSurface,
) -> SurfaceAdvice:
    tolerance = options.tolerance if planned.tolerance is None else planned.tolerance
    share = options.share(name)
    priced = costs(profile, workload, share) if profile else None
    checked = checklist.judge(options.answered(name))
    waits = checked.answers.get("latency") != checklist.OFFLINE
    case = Case(measurement, profile, workload, planned.segment, tolerance, planned.deadline_ms, priced, waits)
    judgements = case.judgements()
    mode, modes = choose(judgements, checked.mode), allowed(judgements, checked.mode)
    return SurfaceAdvice(
        mode,
        reasons(case, judgements, mode, checked),
        thresholds(case, share, judgements, modes),
        judgements,
        modes,
        checked,
        share,
        planned.segment,
        tolerance,
        planned.deadline_ms,
        _entry(case, planned, mode),
    )


def _entry(case: Case, planned: PlannedSurface, mode: Mode) -> Surface:
    """The surface of surfaces.toml: the stated fields, the mode, and the ages of lists for the mode auto."""
    stated = {name: getattr(planned, name) for name in Surface.model_fields if name in planned.model_fields_set}
    fresh, usable = (freshest(case.measurement.curve(what, case.segment), case.tolerance) for what in LISTS)
    if fresh is None or usable is None or not stated.keys().isdisjoint({"list_fresh", "list_usable"}):
        return Surface.model_validate({"mode": mode.served} | stated)
    ages = {"list_fresh": max(fresh, 0.0), "list_usable": max(fresh, usable, 0.0)}
    return Surface.model_validate({"mode": mode.served} | stated | ages)


def _flows(mode: Mode, workload: Workload) -> list[str]:
    """The flows that make the lists of a mode."""
    if mode is Mode.REALTIME:
        return []
    orders = [f"Make the lists with `python -m flows batch` every {shown_duration(workload.batch_every)}."]
    if mode is Mode.MICRO_BATCH:
        orders.append(f"Run `python -m flows refresh --every {workload.refresh_every:g}`.")
    return orders
