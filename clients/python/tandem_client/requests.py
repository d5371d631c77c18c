"""Pydantic models of the events and items that a program sends with the client; a dictionary may be sent instead.

The server checks the limits of the values.
"""

from __future__ import annotations

from enum import StrEnum
from numbers import Integral
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr


def _id(value: object) -> object:
    """An integer of numpy or pandas as Python's."""
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


Id = Annotated[StrictInt | StrictStr, BeforeValidator(_id)]


class Mode(StrEnum):
    """How a slate is made: from a stored list, from that list ranked again, or computed now."""

    AUTO = "auto"
    BATCH = "batch"
    HYBRID = "hybrid"
    REALTIME = "realtime"


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SessionEvent(_Sent):
    """An event of this session that was not sent with `add_events`.

    timestamp: unix seconds, or an ISO 8601 time with its offset; default: now.
    """

    item_id: Id
    event_type: str = "click"
    timestamp: float | str | None = None


class Event(_Sent):
    """An event. event_id: an event of a user that is sent twice under one id counts once; `add_events` sets one.

    timestamp: as in `SessionEvent`. context: a value for any of the dataset's context columns.
    """

    user_id: Id
    item_id: Id
    event_type: str = "click"
    timestamp: float | str | None = None
    event_id: str | None = None
    context: dict[str, str] = Field(default_factory=dict)


class Item(_Sent):
    """An item to add or to change. A field that is left out keeps its value. available=False hides the item."""

    item_id: Id
    title: str | None = None
    categories: list[str] | None = None
    available: bool | None = None
    columns: dict[str, str | int | float | bool] = Field(default_factory=dict)
