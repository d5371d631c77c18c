"""The report of a training run, also of a refused one: a page on disk, and its text as a markdown artifact."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from socket import gethostname

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from flows.progress import artifact_key
from flows.steps.ingest import file_name
from recsys.environment import Environment
from recsys.errors import GateRefused
from training.report.run_page import write
from training.report.run_report import RunReport

KEPT = 50
"""Reports kept: 50 to 150 kB each."""


@contextmanager
def reporting(report: RunReport, environment: Environment) -> Iterator[RunReport]:
    """The report to fill in while the run goes on; a refusal is raised with the place of the report's page."""
    try:
        yield report
    except GateRefused as refused:
        report.refused = True
        refused.report = leave_report(report, environment)
        raise


def leave_report(report: RunReport, environment: Environment) -> Path | None:
    """The report's place under TANDEM_HOME/reports; None where it could not be written, which is logged.

    What was published is live by now: a report that fails is no reason to say that the run did.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(report.started))
    name = report.generation or f"refused-{stamp}-{file_name(report.data.name)}"
    try:
        folder = environment.folder("reports")
        path = write(report, folder / f"{name}.html").resolve()
        for old in sorted(folder.glob("*.html"), key=lambda page: page.stat().st_mtime)[:-KEPT]:
            old.unlink()
        key = artifact_key("report", report.data.name)
        create_markdown_artifact(to_markdown(report, path), key, f"Report of {name}")
    except Exception:
        get_run_logger().exception("The report could not be written.")
        return None
    return path


def to_markdown(report: RunReport, page: Path) -> str:
    """The report as Prefect's UI shows it; page: the file with the charts."""
    data, evaluation = report.data, report.evaluation
    title = "Refused by the gate" if report.refused else report.generation or "Not published"
    figures = f"{data.name}: {data.rows:,} interactions, {data.users:,} users, {data.items:,} items."
    checks = [f"| {check.verdict} | {check.sentence.replace('|', '/')} |" for check in report.checks]
    parts = [f"# {title}", figures]
    if evaluation is not None:
        parts += ["## Metrics", evaluation.to_markdown(), *(f"Note: {warning}" for warning in evaluation.warnings)]
    if checks:
        parts += ["## Gate", "\n".join(("| verdict | check |", "|---|---|", *checks))]
    settings = json.dumps(asdict(report.config), indent=2)
    parts += ["## Configuration", f"```json\n{settings}\n```", f"The page with charts: `{page}` on `{gethostname()}`."]
    return "\n\n".join(parts) + "\n"
