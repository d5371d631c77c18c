"""A report beside its figures."""

from __future__ import annotations

import os
from pathlib import Path

from loadtests.report.page import page
from loadtests.report.picture import picture
from loadtests.report.value import Report


def write(report: Report, path: Path) -> Path:
    """Write the page and the picture, .html and .png beside the figures at `path`; the path of the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shown, drawn = path.with_suffix(".html"), path.with_suffix(".png")
    draft = path.with_name(f".{path.stem}.{os.getpid()}.draft")
    # Half a surrogate pair, which a failure's words may hold, is none in any file.
    draft.write_text(page(report), encoding="utf-8", errors="replace")
    draft.replace(shown)
    picture(report, draft)
    draft.replace(drawn)
    return shown
