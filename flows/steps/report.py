"""Write the report of a training run, even a refused one: an HTML page on disk and a Markdown artifact of Prefect."""

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
from flows.steps.training import file_name
from recsys.environment import Environment
from recsys.errors import GateRefused
from training.judge.run_page import RunReport, write

KEPT = 50
"""Newest reports that stay on the disk, each of 50 to 150 kB."""


@contextmanager
def reporting(report: RunReport, environment: Environment) -> Iterator[RunReport]:
    """Yield the report, which the run fills in. If the gate refuses, write the page and add its path to the error."""
    try:
        yield report
    except GateRefused as refused:
        report.refused = True
        refused.report = write_report(report, environment)
        raise


def write_report(report: RunReport, environment: Environment) -> Path | None:
    """Write the page under TANDEM_HOME/reports and return its path; None if that failed, which is logged.

    An error must not fail the run: the generation is live by now.
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
    """The report for Prefect's UI, beside the artifacts of the metrics and the gate. page: the file with the charts."""
    data, settings = report.data, json.dumps(asdict(report.config), indent=2)
    title = "Refused by the gate" if report.refused else report.generation or "Not published"
    return (
        f"# {title}\n\n{data.name}: {data.rows:,} interactions, {data.users:,} users, {data.items:,} items.\n\n"
        f"The page with charts: `{page}` on `{gethostname()}`.\n\n## Configuration\n\n```json\n{settings}\n```\n"
    )
