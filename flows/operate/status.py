"""What is live, where it came from, and what it scored."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from recsys.errors import NOTHING_LIVE, NoGeneration
from recsys.generation.manifest import Manifest
from recsys.store.ports import GenerationStore
from training.evaluation.metric_table import METRICS, SERVED


@dataclass(frozen=True, slots=True)
class Status:
    """The live generation and those beside it.

    age: seconds since it was made. bytes: of all its parts. forced: what the gate had refused when it was forced past.
    report: where its page is on this machine.
    """

    live: str
    previous: str | None
    generations: list[str]
    created: float
    age: float
    code_version: str
    data: dict[str, Any]
    items: int
    users: int
    bytes: int
    metrics: dict[str, Any]
    forced: list[str]
    report: str | None

    def to_json(self) -> dict[str, Any]:
        """As programs read it."""
        return asdict(self)

    def to_table(self) -> Table:
        """For a person at a terminal."""
        table = Table(title=f"live: {self.live}", show_header=False)
        table.add_column(style="dim")
        table.add_column()
        for name, value in self._lines():
            table.add_row(name, value)
        return table

    def _lines(self) -> list[tuple[str, str]]:
        best = self.metrics.get("best_baseline", {})
        lines = [
            ("made", f"{span(self.age)} ago, code {self.code_version}"),
            ("dataset", f"{self.data.get('name', '')}, {self.data.get('rows', 0):,} interactions"),
            ("items, users", f"{self.items:,}, {self.users:,}"),
            ("bytes", f"{self.bytes / 2**20:.1f} MiB"),
        ]
        lines += [
            (metric, f"{_figure(self.metrics.get(SERVED, {}), metric)}, {best.get('name')} {_figure(best, metric)}")
            for metric in METRICS
        ]
        lines += [("forced", line) for line in self.forced]
        lines += [("note", warning) for warning in self.metrics.get("warnings", [])]
        lines += [("report", self.report)] if self.report else []
        return [*lines, ("previous", self.previous or "none"), ("generations", "\n".join(self.generations))]


def read_status(store: GenerationStore, home: Path) -> Status:
    """What is live in `store`, with the report under `home`; NoGeneration says how to change that."""
    live, previous = store.aliases()
    text = store.read_manifest(live) if live else None
    if live is None or text is None:
        held = store.generations()
        promote = f"Or promote one that the store holds: python -m flows promote {held[-1]}." if held else ""
        raise NoGeneration(f"{NOTHING_LIVE} {promote}".rstrip())
    manifest = Manifest.from_json(text)
    report = home / "reports" / f"{live}.html"
    return Status(
        live=live,
        previous=previous,
        generations=store.generations(),
        created=manifest.created,
        age=round(time.time() - manifest.created, 1),
        code_version=manifest.code_version,
        data={name: value for name, value in manifest.data.items() if name != "sample"},  # hashes, for the gate alone
        items=manifest.dims["items"],
        users=manifest.dims["users"],
        bytes=manifest.size,
        metrics=manifest.metrics,
        forced=manifest.forced,
        report=str(report.resolve()) if report.is_file() else None,
    )


def span(seconds: float) -> str:
    """A stretch of time as people say it."""
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= unit:
            count = int(seconds // unit)
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{int(seconds)} seconds"


def _figure(row: dict[str, Any], metric: str) -> str:
    value = row.get(metric)
    return "-" if value is None else f"{value:.4f}"
