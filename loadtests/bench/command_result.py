"""Ends a benchmark command: writes its figures and report to files, or exits with a sentence on what failed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from recsys.process.command_exit import exit_with_sentence
from training.report.page import Report, write


@contextmanager
def error_sentences() -> Iterator[None]:
    """End the process with a sentence if the measurement fails, and silently if it is interrupted."""
    try:
        with exit_with_sentence():
            yield
    except (httpx.HTTPError, psutil.NoSuchProcess) as error:
        sys.exit(f"tandem: the peer no longer answers ({error})")
    except KeyboardInterrupt:
        sys.exit(130)


def finish(report: Report, figures: Mapping[str, Any], path: Path) -> None:
    """Write the figures to `path` and the report beside them, and print the tables."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures), encoding="utf-8")
    print("\n" + "\n\n".join(table.text() for table in report.tables))
    print(f"\n{report.sentence}\nThe report: {write(report, path.with_suffix('.html'))}")
