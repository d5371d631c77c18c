"""A report as one HTML page: tables and charts of a training run, a load test or a measurement.

The file loads no other file, and this template runs no script. It escapes all text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from recsys.files.atomic_write import atomic_write
from training.report.charts import Chart

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""Of the pages. `page.html.j2` has blocks for a page that needs more, such as a script."""


@dataclass(frozen=True)
class Table:
    """Rows of text. The first cell of a row names the row.

    strong: the first cell of a row to emphasise. prose: whether the cells are sentences, aligned to the left.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    strong: str = ""
    prose: bool = False

    def text(self) -> str:
        """The table for a terminal."""
        widths = [max(len(row[column]) for row in (self.header, *self.rows)) for column in range(len(self.header))]
        lines = [
            "  ".join(f"{cell:>{width}}" if place else f"{cell:{width}}" for place, (cell, width) in enumerate(pairs))
            for pairs in (zip(row, widths, strict=True) for row in (self.header, *self.rows))
        ]
        return "\n".join([self.title, *(line.rstrip() for line in lines)])


@dataclass(frozen=True)
class Section:
    """A heading, a sentence, and parts side by side if the window is wide enough."""

    title: str
    note: str
    parts: Sequence[Table | Chart]


@dataclass(frozen=True)
class Report:
    """The results of a run as a page.

    good: whether the run passed, None if nothing was judged. reasons: why the run failed. headline: the most
    important figures as (name, figure, remark). details: (title, text) that is folded.
    """

    title: str
    byline: str
    sentence: str
    good: bool | None
    parts: Sequence[Section | Table | Chart]
    reasons: Sequence[str] = ()
    headline: Sequence[tuple[str, str, str]] = ()
    details: tuple[str, str] | None = None

    @property
    def tables(self) -> list[Table]:
        """The tables outside sections."""
        return [part for part in self.parts if isinstance(part, Table)]

    def html(self) -> str:
        """The page. A lone surrogate, which no file can hold, is shown as `?`."""
        page = TEMPLATES.get_template("page.html.j2").render(report=self)
        return page.encode("utf-8", "replace").decode("utf-8")


def write(report: Report, path: Path) -> Path:
    """Write the page to `path`; an existing file stays if the write fails. Return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        draft.write_text(report.html(), encoding="utf-8")
    return path
