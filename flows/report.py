"""A run's report: written whatever came of the run, and linked where its artifacts are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import get_run_logger
from prefect.artifacts import create_link_artifact

from flows.ingest import file_name
from flows.train import artifact_key
from recsys.environment import Environment
from recsys.errors import GateRefused
from training.report.findings import Findings
from training.report.run import write

KEPT = 50
"""Reports kept: 50 to 150 kB each."""


@contextmanager
def reporting(findings: Findings, environment: Environment) -> Iterator[Findings]:
    """Findings to fill in while the run goes on; a refusal leaves with the report's place on it."""
    try:
        yield findings
    except GateRefused as refused:
        findings.refused = True
        refused.report = leave_report(findings, environment)
        raise


def leave_report(findings: Findings, environment: Environment) -> Path | None:
    """The report's place under TANDEM_HOME/reports; None where it could not be written, which is logged.

    What was published is live by now: a report that fails is no reason to say that the run did.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(findings.started))
    name = findings.generation or f"refused-{stamp}-{file_name(findings.data.name)}"
    try:
        folder = environment.folder("reports")
        path = write(findings, folder / f"{name}.html").resolve()
        for old in sorted(folder.glob("*.html"), key=lambda page: page.stat().st_mtime)[:-KEPT]:
            old.unlink()
        create_link_artifact(
            path.as_uri(), "the run's report", artifact_key("report", findings.data.name), f"Report of {name}"
        )
    except Exception:
        get_run_logger().exception("The report could not be written.")
        return None
    return path
