"""The parts behind the page /operations, which `service.wiring` makes."""

from __future__ import annotations

from dataclasses import dataclass

from service.operations.actions import Actions
from service.operations.last_hour import Readings
from service.operations.overview import OverviewReader
from service.operations.shared_reader import SharedReader


@dataclass(frozen=True, slots=True)
class Operations:
    """The parts of a gateway process. readings: to be followed in a task. reader: to be closed at the end."""

    overview: OverviewReader
    actions: Actions
    readings: Readings
    reader: SharedReader
