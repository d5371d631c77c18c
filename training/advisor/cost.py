"""What each mode costs: CPU, cores at the peak, memory in Redis and money for a million slates.

A cost profile has the measured figures of one machine. A workload has the user's traffic and prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import exp, log
from pathlib import Path
from statistics import fmean
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from recsys.errors import SettingsError
from recsys.files.toml_errors import wanted
from recsys.surfaces import Duration
from training.advisor.checklist import Mode, ServedMode
from training.advisor.curves import STRICT, mistake

DAY, MONTH, HOUR = 86_400, 30 * 86_400, 3_600
GIB = 2**30
MILLION = 1_000_000

_Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotBelow = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@checked_dataclass(frozen=True, config=STRICT)
class Point:
    """A measured rate in slates a second: CPU of all processes of the deployment for a slate, and the 99th percentile
    of the latency, None where it was not measured.
    """

    mode: ServedMode
    rate: _Above
    cpu_ms: _Above
    p99_ms: _Above | None = None


@checked_dataclass(frozen=True, config=STRICT)
class Memory:
    """Bytes in Redis of one generation, the published models and tables: its parts, the records of all users, and one
    user's list.
    """

    users: Annotated[int, Field(gt=0)]
    items: Annotated[int, Field(gt=0)]
    parts_bytes: _NotBelow
    records_bytes: _NotBelow
    list_bytes: _NotBelow


@dataclass(frozen=True)
class CpuByRate:
    """CPU ms a slate, between the measured points on a logarithmic scale of the rate: full batches make slates cheaper.

    points: rate and CPU ms, the lowest rate first. Below it the first line goes on, above the highest CPU stays.
    """

    points: tuple[tuple[float, float], ...]

    def at(self, rate: float) -> float:
        """CPU ms of a slate."""
        (first, first_ms), (second, second_ms) = self.points[:2]
        if rate < first:
            return first_ms + max(first_ms - second_ms, 0.0) * log(first / rate) / log(second / first)
        rates, cpu_ms = zip(*self.points, strict=True)
        return float(np.interp(log(rate), np.log(rates), cpu_ms))


@checked_dataclass(frozen=True, config=STRICT)
class CostProfile:
    """The measured figures of one machine. machine: in words. source: the command or the metrics, and the date.

    list_cpu_ms: CPU ms for one list in `flows batch`. flow_cpu_ms: of a run of `flows refresh` that makes no list.
    """

    machine: str
    source: str
    points: tuple[Point, ...]
    list_cpu_ms: _Above
    flow_cpu_ms: _NotBelow
    memory: Memory

    @classmethod
    def read(cls, path: Path) -> CostProfile:
        """The profile of a file; SettingsError with a sentence if it can't be read."""
        try:
            profile = TypeAdapter(cls).validate_json(path.read_bytes(), strict=True)
        except OSError as error:
            raise SettingsError(f"The cost profile {path} can't be read: {error.strerror}.") from error
        except ValidationError as error:
            raise SettingsError(f"{path} is no cost profile: {mistake(error)}.") from error
        for mode in {each.served for each in Mode}:
            if len({point.rate for point in profile.points if point.mode == mode}) < 2:
                raise SettingsError(f"{path} is no cost profile: the mode {mode} needs points at two rates.")
        return profile

    def cpu(self, mode: ServedMode) -> CpuByRate:
        """The measured points of a mode, the mean of those at one rate."""
        measured: dict[float, list[float]] = {}
        for point in sorted((each for each in self.points if each.mode == mode), key=lambda each: each.rate):
            measured.setdefault(point.rate, []).append(point.cpu_ms)
        return CpuByRate(tuple((rate, fmean(cpu_ms)) for rate, cpu_ms in measured.items()))

    def latencies(self, mode: ServedMode) -> list[tuple[float, float]]:
        """The measured rates and the 99th percentile of the latency at each, in ms."""
        return sorted((point.rate, point.p99_ms) for point in self.points if point.mode == mode and point.p99_ms)

    def p99_ms(self, mode: ServedMode, rate: float) -> float | None:
        """The measured latency at the least rate that is not below `rate`, else at the highest; None without any."""
        points = self.latencies(mode)
        return next((p99 for at, p99 in points if at >= rate), points[-1][1] if points else None)


class Workload(BaseModel):
    """The traffic and the prices, as a user states them. users, items: None for those of the data.

    slates: a second, on average. active_share: users with events on a day. batch_every, refresh_every: seconds between
    two runs of the flows. Prices are in any currency.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    slates: Annotated[float, Field(gt=0, le=1e6), wanted("a number of slates a second above 0")] = 10.0
    peak_factor: Annotated[float, Field(ge=1, le=1_000), wanted("a number from 1 on")] = 3.0
    users: Annotated[int, Field(strict=True, gt=0), wanted("a whole number above 0")] | None = None
    items: Annotated[int, Field(strict=True, gt=0), wanted("a whole number above 0")] | None = None
    active_share: Annotated[float, Field(gt=0, le=1), wanted("a share above 0, up to 1")] = 0.1
    batch_every: Annotated[Duration, Field(gt=0)] = float(DAY)
    refresh_every: Annotated[Duration, Field(gt=0)] = 120.0
    price_core_hour: Annotated[float, Field(ge=0, le=1e6), wanted("a price of 0 or more")] = 0.04
    price_gib_month: Annotated[float, Field(ge=0, le=1e6), wanted("a price of 0 or more")] = 4.0

    @property
    def peak(self) -> float:
        """Slates a second at the peak."""
        return self.slates * self.peak_factor


@dataclass(frozen=True)
class ModeCost:
    """What a mode costs if it answers every slate of a surface.

    cpu_s, list_cpu_s: CPU seconds of serving and of making lists for a million slates. cores: busy at the peak.
    batch_window_s: seconds of one core for the lists of all users. money: for a million slates, where cores for the
    peak are paid all the time.
    """

    cpu_s: float
    list_cpu_s: float
    cores: float
    lists_a_second: float
    batch_window_s: float
    redis_bytes: float
    money: float


def costs(profile: CostProfile, workload: Workload, share: float = 1.0) -> dict[Mode, ModeCost]:
    """The cost of each mode for a surface with this share of the slates. The lists are for this surface alone."""
    return {mode: cost_of(mode, profile, workload, share) for mode in Mode}


def cost_of(mode: Mode, profile: CostProfile, workload: Workload, share: float) -> ModeCost:
    """The cost of one mode, as in `costs`."""
    users, slates, listed = workload.users or profile.memory.users, workload.slates * share, mode is not Mode.REALTIME
    cpu = profile.cpu(mode.served)
    cores = cpu.at(workload.peak) * workload.peak * share / 1_000
    lists = _lists_a_second(mode, workload, users, slates)
    flow_ms = profile.flow_cpu_ms / workload.refresh_every if mode is Mode.MICRO_BATCH else 0.0
    list_cores = (lists * profile.list_cpu_ms + flow_ms) / 1_000
    redis = _redis_bytes(profile.memory, workload, users, listed)
    cpu_price, memory_price = workload.price_core_hour / HOUR, workload.price_gib_month / GIB / MONTH
    return ModeCost(
        cpu_s=cpu.at(workload.slates) * MILLION / 1_000,
        list_cpu_s=list_cores / slates * MILLION,
        cores=cores,
        lists_a_second=lists,
        batch_window_s=users * profile.list_cpu_ms / 1_000 if listed else 0.0,
        redis_bytes=redis,
        money=((cores + list_cores) * cpu_price + redis * memory_price) / slates * MILLION,
    )


def _lists_a_second(mode: Mode, workload: Workload, users: int, slates: float) -> float:
    """Lists of `flows batch` for all users, and in micro-batch those of `flows refresh` for users with events.

    A user's events count as random moments, as many as the user's slates, so a run finds an event of the user with
    probability 1 - exp(-events in a period). Visits hold several events: the real number is lower.
    """
    if mode is Mode.REALTIME:
        return 0.0
    lists = users / workload.batch_every
    if mode is Mode.MICRO_BATCH:
        active = users * workload.active_share
        lists += active / workload.refresh_every * (1 - exp(-slates / active * workload.refresh_every))
    return lists


def _redis_bytes(memory: Memory, workload: Workload, users: int, listed: bool) -> float:
    """The measured generation, scaled to other numbers of items and users, and a list for each user."""
    items = workload.items or memory.items
    generation = memory.parts_bytes * items / memory.items + memory.records_bytes * users / memory.users
    return generation + (memory.list_bytes * users if listed else 0.0)


def parameters(profile: CostProfile) -> Mapping[str, object]:
    """The figures of the profile that the formulas use, for the page."""
    return {
        "cpu": {mode: profile.cpu(mode.served).points for mode in Mode},
        "p99_ms": {mode: profile.latencies(mode.served) for mode in Mode},
        "list_cpu_ms": profile.list_cpu_ms,
        "flow_cpu_ms": profile.flow_cpu_ms,
        "memory": asdict(profile.memory),
    }
