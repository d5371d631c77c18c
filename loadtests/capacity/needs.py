"""What a deployment of a given size needs by the capacity model, and which part reaches the limit of one host first.

Training is that of the preset `full` with all users, at most: every epoch that it allows, and every query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

from loadtests.bench.training_growth import CONFIG, RECORDS_OF, TOWERS_OF
from loadtests.capacity.curves import Curve, Size
from recsys.generation.publisher import KEPT
from recsys.promises import stated_promises
from training.advisor.cost import DAY, GIB, HOUR, MONTH, Workload
from training.config import full
from training.report.page import Table

MIB = 2**20

FITS = 3
"""First stages of a run: before the ranker's labels, before the test, and of every event (`training/recipe.py`)."""

CORES = 2
"""Cores of the measured machine: of a training, and of one gateway, retrieval and ranking together."""

HOST_CORES, HOST_GIB = 16, 64
"""The host that a part may fill before it has to be divided."""


@dataclass(frozen=True)
class Need:
    """A need, and how much of it one host or one process has; 0: any number of hosts may share it."""

    name: str
    value: float
    limit: float = 0.0

    @property
    def share(self) -> float:
        """Above 1 the part has to be divided."""
        return self.value / self.limit if self.limit else 0.0


def training_s(curves: Mapping[str, Curve], size: Size) -> float:
    """CPU seconds of a training, at most. The benchmark trains some users, one epoch and few queries."""
    config = full()
    times = {
        "towers": FITS * config.tower.epochs,
        "item tables": FITS,
        "ranker": config.ranker.queries / CONFIG.ranker.queries,
        "evaluation": config.test_queries / CONFIG.test_queries,
    }
    everything = {
        "towers CPU s": replace(size, interactions=TOWERS_OF * size.interactions),
        "export CPU s": replace(size, users=RECORDS_OF * size.users),
    }
    return sum(
        times.get(name.removesuffix(" CPU s"), 1) * curve.at(everything.get(name, size))
        for name, curve in curves.items()
        if name.endswith(" CPU s")
    )


def needs(curves: Mapping[str, Curve], size: Size, workload: Workload) -> list[Need]:
    """Cores, memory, network and money of a size, at the workload's peak."""
    of = {name: curve.at(size) for name, curve in curves.items()}
    slates, users = workload.peak, size.users
    trained = training_s(curves, size)
    training_gib = max(value for name, value in of.items() if f"{name.removesuffix(' MiB')} CPU s" in of) * MIB / GIB
    cores, store_cores, list_s = (of[f"{name} CPU ms"] / 1_000 for name in ("slate", "store", "list"))
    replicas = ceil(cores * slates / CORES)
    replica = sum(of[f"{role} MiB"] for role in ("gateway", "retrieval", "ranking", "supervisor")) * MIB / GIB
    generation = (of["generation MiB"] * MIB + users * of["record bytes"]) / GIB
    store = (KEPT + 1) * generation + KEPT * users * of["list bytes"] / GIB  # while the next one is published
    busy = slates * (cores + store_cores) + (trained + users * list_s) / DAY
    gib = replicas * replica + store + training_gib
    money = busy * MONTH / HOUR * workload.price_core_hour + gib * workload.price_gib_month
    return [
        Need("CPU ms of a slate; limit: the promised p99", 1_000 * cores, stated_promises().recommend.p99_ms),
        Need("cores of all slates", slates * cores, HOST_CORES),
        Need("GiB of one gateway, retrieval and ranking", replica, HOST_GIB),
        Need(f"GiB of {replicas:,} of each", replicas * replica),
        Need("cores of the store; limit: its one thread", slates * store_cores, 1),
        Need("GiB of the store", store, HOST_GIB),
        Need("CPU hours of a list for every user; limit: a day of one process", users * list_s / HOUR, DAY / HOUR),
        Need(f"CPU hours of a training; limit: a day of {CORES} cores", trained / HOUR, CORES * DAY / HOUR),
        Need("GiB of a training", training_gib, HOST_GIB),
        *(Need(f"Mbit/s, {hop}", slates * of[f"{hop} bytes"] * 8 / 1e6) for hop in ("client", "backend", "store")),
        Need("money a month, with a training and a list for every user a day", money),
    ]


def needs_table(found: list[Need], size: Size, workload: Workload) -> Table:
    """The needs, and what breaks first."""
    rows = [
        [need.name, f"{need.value:,.3g}", *((f"{need.limit:,.3g}", f"{need.share:,.2f}") if need.limit else ("", ""))]
        for need in found
    ]
    first = max(found, key=lambda need: need.share)
    title = (
        f"{size.users:,} users, {size.items:,} items, {size.interactions:,} interactions, {workload.peak:g} slates/s"
    )
    rows.append([f"What {'breaks' if first.share > 1 else 'would break'} first: {first.name}", "", "", ""])
    return Table(title, ["", "needed", "limit", "times"], rows)
