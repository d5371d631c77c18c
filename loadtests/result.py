"""Result of a load test: prints whether the limits held, writes figures and report, sets the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from locust.env import Environment

from loadtests.command_line import rate_of, shape_of, slate_size
from loadtests.report import load_report
from loadtests.slo import BROKEN, LATE_GENERATOR, Slo
from loadtests.tally import Tally
from training.report.page import write


def judge(environment: Environment, tally: Tally, processes: int) -> None:
    """Print the verdict of a run, write its files, and set Locust's exit code."""
    options = environment.parsed_options
    verdict = Slo.read(options.surface).judge(tally)
    print(verdict.summary(tally))
    result = {"asked": _asked(environment, processes), "generator_late": tally.generator_late}
    result |= {**verdict.to_json(), **tally.to_json()}
    path = Path(options.result)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result), encoding="utf-8")
    held = verdict.held and not tally.failed_clicks
    environment.process_exit_code = LATE_GENERATOR if tally.generator_late else 0 if held else BROKEN
    if not options.figures_only:
        print(f"\nThe report: {write(load_report(result), path.with_suffix('.html'))}")


def _asked(environment: Environment, processes: int) -> dict[str, Any]:
    """The load that the options describe, and the users and processes that sent it."""
    options, shape = environment.parsed_options, shape_of(environment.parsed_options)
    asked = {name: getattr(options, name) for name in ("seconds", "seed", "door", "surface", "deadline_ms", "host")}
    asked |= {"rate": rate_of(options), "k": slate_size(options), "shape": shape.name, "pieces": shape.pieces}
    return asked | {"users": environment.runner.target_user_count, "processes": processes}
