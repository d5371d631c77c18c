"""The file format of `dataset.toml`, which describes a dataset, as strict pydantic models: the whole file, and its
sections [events], [settings] and [evaluation].

The models of [interactions], [collected] and [items] are in `table_sections`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from recsys.files.toml_errors import wanted
from recsys.model.event_types import IMPRESSION, EventRules, SeenRule
from training.read.table_sections import (
    COLLECTED_COLUMNS,
    NO_FILE,
    AnyText,
    Collected,
    Features,
    Interactions,
    Items,
    Section,
    require_one_meaning,
)

Types = TypeVar("Types", bound=Collection[str])
Name = Annotated[str, StringConstraints(strict=True, pattern=r"\S"), wanted('one text, such as "shop"')]


def no_impressions(names: Types) -> Types:
    """The event types themselves. ValueError if impressions, which are no part of a history, are to have a meaning."""
    if IMPRESSION in names:
        raise ValueError(
            f"'{IMPRESSION}' is the type of an event for an item that was shown. Neither training nor serving takes "
            "such events into a history. Take the type out, or rename it in the log"
        )
    return names


EventTypes = Annotated[
    tuple[AnyText, ...],
    AfterValidator(lambda names: tuple(dict.fromkeys(names))),
    wanted('a list of event types such as ["purchase"]'),
]
Meaningful = Annotated[EventTypes, AfterValidator(no_impressions)]
Weights = Annotated[
    dict[str, Annotated[float, Field(strict=True, ge=0.001, le=1e6)]],  # sums of these are exact enough in float32
    wanted(
        "a number above 0, from 0.001 to 1,000,000, for each event type, such as { view = 1, purchase = 10 } (a type "
        "that counts against an item belongs in negative, a type without a meaning in ignored)"
    ),
    AfterValidator(no_impressions),
]
Days = Annotated[
    float,
    Field(strict=True, ge=1 / 1_440, le=36_525),
    wanted("a number above 0, from a minute (0.0007) to 100 years (36,525)"),
]
Horizon = Annotated[
    Literal["next", "all"],
    wanted('"next" (a slate should hold the next item of a user) or "all" (all later items of the user)'),
]


def moment(value: object) -> float:
    """Unix seconds of a date or a time in TOML or ISO 8601; UTC if no time zone is named. ValueError for other text."""
    parsed = datetime.fromisoformat(str(value))
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


Moment = Annotated[float, PlainValidator(moment), wanted("a date or a time such as 2000-12-21 or 2000-12-21T18:00:00Z")]


class Events(Section):
    """The section [events]: which event types are targets, negative or ignored, and how much an event weighs."""

    target: Meaningful = ()
    negative: Meaningful = ()
    ignored: EventTypes = ()
    weights: Weights = Field(default_factory=dict)
    weigh_by_value: Meaningful = ()
    unknown: Annotated[Literal["accept", "refuse"], wanted('"accept" or "refuse"')] = "accept"

    @model_validator(mode="after")
    def _one_meaning_each(self) -> Self:
        positive = {name: entry for entry in ("weigh_by_value", "target", "weights") for name in getattr(self, entry)}
        others = [(name, entry) for entry in ("negative", "ignored") for name in getattr(self, entry)]
        require_one_meaning(((entry, name) for name, entry in (*positive.items(), *others)), "event type")
        return self

    @property
    def rules(self) -> EventRules:
        """The rules as training and serving apply them."""
        return EventRules(self.weights, self.target, self.negative, self.ignored, self.unknown == "refuse")


class SeenTable(Section):
    """Which of a user's past items are left out: those with an event of these types in so many last days."""

    types: Meaningful = ()
    days: Days | None = None


def _seen(value: object) -> object:
    if isinstance(value, bool):
        return SeenTable() if value else None
    if not isinstance(value, dict):
        raise PydanticCustomError(
            "wanted", 'true, false or a table such as { types = ["purchase"], days = 30 }, without quotes around it'
        )
    if value in ({}, {"types": []}):
        raise ValueError(
            'types is empty. Name event types, such as { types = ["purchase"] }. Or write true: then events of every '
            "type count. false hides nothing"
        )
    return value


class Settings(Section):
    """The section [settings]: which seen items are not recommended, and what a test measures."""

    exclude_seen: Annotated[SeenTable | None, BeforeValidator(_seen)] = SeenTable()
    horizon: Horizon = "next"

    @property
    def seen_rule(self) -> SeenRule:
        """The rule as training and serving apply it."""
        seen = self.exclude_seen
        return SeenRule(False) if seen is None else SeenRule(True, seen.types, seen.days)


class Evaluation(Section):
    """The section [evaluation]: when the test and the ranker's labels begin, in unix seconds; None: by their shares."""

    test_from: Moment | None = None
    labels_from: Moment | None = None


class DatasetToml(Section):
    """A whole `dataset.toml`. events and items: None without such a section."""

    name: Name | None = None
    folder: Name = "."
    interactions: Interactions
    collected: Collected = Collected()
    items: Items | None = None
    features: Features = Features()
    events: Events | None = None
    settings: Settings = Settings()
    evaluation: Evaluation = Evaluation()
    training: Any = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _collected_alone(cls, raw: Any) -> Any:
        """Without a file of interactions the columns are those of collected events."""
        own, collected = raw.get("interactions", {}), raw.get("collected")
        # A wrong value counts too: its own mistake is then the one that is named.
        states = isinstance(collected, dict) and collected.get("events", False) is not False
        if states and isinstance(own, dict) and "file" not in own:
            return raw | {"interactions": own | COLLECTED_COLUMNS | {"file": NO_FILE}}
        return raw

    @model_validator(mode="after")
    def _features_are_numbers(self) -> Self:
        columns = self.items.numeric + self.items.boolean if self.items else ()
        for column in self.features.items:
            if column not in columns:
                known = f"they are {', '.join(columns)}" if columns else "there are none"
                raise ValueError(
                    f"items in [features] names '{column}', which is no column in numeric or boolean of [items]: "
                    f"{known}. Text is no feature. Add a number or a boolean there, or take it out of [features]"
                )
            if self.features.items.count(column) > 1:
                raise ValueError(f"items in [features] names '{column}' twice. Delete one of the two")
        return self

    @model_validator(mode="after")
    def _event_types_have_a_column(self) -> Self:
        column = 'Add a line such as event_type = "event" to [interactions]'
        if self.interactions.event_type is None and self.events is not None:
            raise ValueError(f"The section [events] needs a column of event types. {column}")
        types = self.settings.seen_rule.types
        if self.interactions.event_type is None and types:
            raise ValueError(
                f"types of exclude_seen in [settings] needs a column of event types. {column}, or take types out"
            )
        if self.events is None:
            return self
        if self.events.weigh_by_value and self.interactions.value is None:
            raise ValueError(
                'weigh_by_value in [events] needs a column of values. Add a line such as value = "revenue" to '
                "[interactions]"
            )
        if dropped := [name for name in types if name in self.events.ignored]:
            raise ValueError(
                f"types of exclude_seen in [settings] names '{dropped[0]}', which [events] ignores: its events are "
                "dropped and hide nothing. Take the type out of one of the two"
            )
        return self
