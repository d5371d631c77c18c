"""Show the status of the live models, for the command `python -m flows status`: their age, dataset, metrics and size.

The module also lists ids of their users, for load tests.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from recsys.errors import NOTHING_LIVE, NoGeneration
from recsys.generation.manifest import Manifest
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.redis.generation_store import RedisGenerationStore
from training.judge.metric_table import METRICS, SERVED

MOST_USERS = 16_000
"""Users of a load test, as many as the load test has where users are numbers."""


@dataclass(frozen=True, slots=True)
class Status:
    """The live generation and the ids of the others.

    age: seconds. bytes: of all parts. forced: the failed checks of a forced run. report: the page on this host.
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


def read_status(store: RedisGenerationStore, home: Path) -> Status:
    """The status of `store`, with the report under `home`; NoGeneration names the command that makes one live."""
    manifest, previous = _live_manifest(store)
    report = home / "reports" / f"{manifest.id}.html"
    return Status(
        live=manifest.id,
        previous=previous,
        generations=store.generations(),
        created=manifest.created,
        age=round(time.time() - manifest.created, 1),
        code_version=manifest.code_version,
        data={name: value for name, value in manifest.data.items() if name != "sample"},  # hashes that the gate reads
        items=manifest.dims["items"],
        users=manifest.dims["users"],
        bytes=manifest.size,
        metrics=manifest.metrics,
        forced=manifest.forced,
        report=str(report.resolve()) if report.is_file() else None,
    )


def live_users(generations: RedisGenerationStore, store: RedisFlowStore) -> list[str]:
    """Ids of at most MOST_USERS users who have a record in the live generation; the same ids on each call."""
    manifest, _ = _live_manifest(generations)
    found: list[str] = []
    for bucket in range(manifest.user_buckets):
        found += sorted(store.read_bucket(manifest.id, bucket))
        if len(found) >= MOST_USERS:
            break
    return found[:MOST_USERS]


def _live_manifest(store: RedisGenerationStore) -> tuple[Manifest, str | None]:
    live, previous = store.aliases()
    text = store.read_manifest(live) if live else None
    if text is None:
        stored = store.generations()
        promote = f"Or promote one that the store holds: python -m flows promote {stored[-1]}." if stored else ""
        raise NoGeneration(f"{NOTHING_LIVE} {promote}".rstrip())
    return Manifest.from_json(text), previous


def to_table(status: Status) -> Table:
    """The table for a terminal."""
    best = status.metrics.get("best_baseline", {})
    served = status.metrics.get(SERVED, {})
    lines = [
        ("made", f"{duration_text(status.age)} ago, code {status.code_version}"),
        ("dataset", f"{status.data.get('name', '')}, {status.data.get('rows', 0):,} interactions"),
        ("items, users", f"{status.items:,}, {status.users:,}"),
        ("bytes", f"{status.bytes / 2**20:.1f} MiB"),
    ]
    lines += [(name, f"{metric_text(served, name)}, {best.get('name')} {metric_text(best, name)}") for name in METRICS]
    lines += [("forced", line) for line in status.forced]
    lines += [("note", warning) for warning in status.metrics.get("warnings", [])]
    lines += [("report", status.report)] if status.report else []
    lines += [("previous", status.previous or "none"), ("generations", "\n".join(status.generations))]
    table = Table(title=f"live: {status.live}", show_header=False)
    table.add_column(style="dim")
    table.add_column()
    for name, value in lines:
        table.add_row(name, value)
    return table


def duration_text(seconds: float) -> str:
    """A duration in its largest unit."""
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= unit:
            count = int(seconds // unit)
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{int(seconds)} seconds"


def metric_text(metrics: Mapping[str, Any], name: str) -> str:
    """A metric with four digits, "-" if it was not measured."""
    value = metrics.get(name)
    return "-" if value is None else f"{value:.4f}"
