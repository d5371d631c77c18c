"""The overview that the page /operations shows: what is live, its age, the last hour, flows and experiments."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from recsys.errors import StoreError
from recsys.flow_names import LIST_FLOWS
from service import schema
from service.operations.last_hour import LastHour, Readings
from service.operations.promises import Promises
from service.operations.shared_reader import STORE_SECONDS, SharedReader
from service.operations.stored_state import FlowState, StoredState
from service.recommend.deadlines import Deadline
from service.schema import verb_table
from service.verbs.recommender import Recommender

SHOWN_STATUS_FIELDS = {
    "ready",
    "generation",
    "live",
    "topology",
    "store",
    "away",
    "rules",
    "surface_errors",
    "refused",
    "processes",
}
"""The fields of /status that the page shows."""


@dataclass(frozen=True, slots=True)
class Age:
    """When a part of answers was made, unix seconds; None if never. promised: its greatest age in seconds, if any."""

    part: str
    made: float | None
    promised: float | None = None


@dataclass(frozen=True, slots=True)
class Overview:
    """The overview at a time, unix seconds. status: fields of /status. gateways: processes of all hosts.

    stored: None while the store can't be read; `status.store` then says why. unavailable: why nothing can be
    promoted from the page; None if it can.
    """

    at: float
    status: dict[str, Any]
    gateways: int
    ages: list[Age]
    hour: LastHour
    promises: Promises
    stored: StoredState | None
    unavailable: str | None


class OverviewReader:
    """Makes the overview of a gateway process."""

    def __init__(
        self,
        recommender: Recommender,
        readings: Readings,
        reader: SharedReader,
        promises: Promises,
        unavailable: str | None,
    ) -> None:
        """unavailable: why nothing can be promoted from the page."""
        self._recommender = recommender
        self._readings = readings
        self._reader = reader
        self._promises = promises
        self._unavailable = unavailable

    async def read(self) -> Overview:
        """The overview of this moment."""
        now = time.time()
        status = await self._recommender.answer(verb_table.STATUS, schema.StatusRequest(), Deadline.of_now(None))
        shown = status.model_dump(include=SHOWN_STATUS_FIELDS)
        stored: StoredState | None = None
        try:
            stored = await self._reader.read()
        except StoreError as error:
            shown["store"] = str(error)
        except TimeoutError:
            shown["store"] = f"The store did not answer within {STORE_SECONDS:g} s."
        return Overview(
            at=now,
            status=shown,
            gateways=sum(each["name"].startswith("gateway ") for each in shown["processes"]),
            ages=self._ages(stored.flows if stored else []),
            hour=self._readings.last_hour(),
            promises=self._promises,
            stored=stored,
            unavailable=self._unavailable,
        )

    def _ages(self, flows: list[FlowState]) -> list[Age]:
        live, made = self._recommender.live_if_ready, {each.flow: each.last_success for each in flows}
        lists = [Age(flow, made.get(flow), self._promises.flows.get(flow)) for flow in LIST_FLOWS]
        model = Age("model", live.manifest.created if live else None, self._promises.ages.get("model"))
        trending = Age("trending", self._recommender.trending_at or None, self._promises.ages.get("trending"))
        return [model, *lists, trending]
