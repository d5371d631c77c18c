from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Id(_message.Message):
    __slots__ = ("text", "number")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    text: str
    number: int
    def __init__(self, text: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("text", "number", "truth")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TRUTH_FIELD_NUMBER: _ClassVar[int]
    text: str
    number: float
    truth: bool
    def __init__(self, text: _Optional[str] = ..., number: _Optional[float] = ..., truth: bool = ...) -> None: ...

class Condition(_message.Message):
    __slots__ = ("any_of", "range", "truth")
    ANY_OF_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    TRUTH_FIELD_NUMBER: _ClassVar[int]
    any_of: Values
    range: Range
    truth: bool
    def __init__(self, any_of: _Optional[_Union[Values, _Mapping]] = ..., range: _Optional[_Union[Range, _Mapping]] = ..., truth: bool = ...) -> None: ...

class Values(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[Value]
    def __init__(self, values: _Optional[_Iterable[_Union[Value, _Mapping]]] = ...) -> None: ...

class Range(_message.Message):
    __slots__ = ("lt", "lte", "gt", "gte")
    LT_FIELD_NUMBER: _ClassVar[int]
    LTE_FIELD_NUMBER: _ClassVar[int]
    GT_FIELD_NUMBER: _ClassVar[int]
    GTE_FIELD_NUMBER: _ClassVar[int]
    lt: float
    lte: float
    gt: float
    gte: float
    def __init__(self, lt: _Optional[float] = ..., lte: _Optional[float] = ..., gt: _Optional[float] = ..., gte: _Optional[float] = ...) -> None: ...

class Texts(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class SessionEvent(_message.Message):
    __slots__ = ("item_id", "event_type", "timestamp")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    event_type: str
    timestamp: float
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., event_type: _Optional[str] = ..., timestamp: _Optional[float] = ...) -> None: ...

class RecommendRequest(_message.Message):
    __slots__ = ("user_id", "user_ids", "k", "session", "exclude", "context", "filter", "mode", "log_impression", "conditions", "surface", "arms")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class FilterEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Texts
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Texts, _Mapping]] = ...) -> None: ...
    class ConditionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Condition
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Condition, _Mapping]] = ...) -> None: ...
    class ArmsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_IDS_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    LOG_IMPRESSION_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    SURFACE_FIELD_NUMBER: _ClassVar[int]
    ARMS_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    user_ids: _containers.RepeatedCompositeFieldContainer[Id]
    k: int
    session: _containers.RepeatedCompositeFieldContainer[SessionEvent]
    exclude: _containers.RepeatedCompositeFieldContainer[Id]
    context: _containers.ScalarMap[str, str]
    filter: _containers.MessageMap[str, Texts]
    mode: str
    log_impression: bool
    conditions: _containers.MessageMap[str, Condition]
    surface: str
    arms: _containers.ScalarMap[str, str]
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., user_ids: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., k: _Optional[int] = ..., session: _Optional[_Iterable[_Union[SessionEvent, _Mapping]]] = ..., exclude: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., context: _Optional[_Mapping[str, str]] = ..., filter: _Optional[_Mapping[str, Texts]] = ..., mode: _Optional[str] = ..., log_impression: bool = ..., conditions: _Optional[_Mapping[str, Condition]] = ..., surface: _Optional[str] = ..., arms: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("slates",)
    SLATES_FIELD_NUMBER: _ClassVar[int]
    slates: _containers.RepeatedCompositeFieldContainer[Slate]
    def __init__(self, slates: _Optional[_Iterable[_Union[Slate, _Mapping]]] = ...) -> None: ...

class Slate(_message.Message):
    __slots__ = ("user_id", "items", "generation", "mode", "history", "removed", "degraded", "unknown_items", "unknown_types", "surface", "arms", "arms_away", "freshness")
    class RemovedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ArmsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ITEMS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_TYPES_FIELD_NUMBER: _ClassVar[int]
    SURFACE_FIELD_NUMBER: _ClassVar[int]
    ARMS_FIELD_NUMBER: _ClassVar[int]
    ARMS_AWAY_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    items: _containers.RepeatedCompositeFieldContainer[ScoredItem]
    generation: str
    mode: str
    history: int
    removed: _containers.ScalarMap[str, int]
    degraded: _containers.RepeatedScalarFieldContainer[str]
    unknown_items: _containers.RepeatedCompositeFieldContainer[Id]
    unknown_types: _containers.RepeatedScalarFieldContainer[str]
    surface: str
    arms: _containers.ScalarMap[str, str]
    arms_away: _containers.RepeatedScalarFieldContainer[str]
    freshness: Freshness
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., items: _Optional[_Iterable[_Union[ScoredItem, _Mapping]]] = ..., generation: _Optional[str] = ..., mode: _Optional[str] = ..., history: _Optional[int] = ..., removed: _Optional[_Mapping[str, int]] = ..., degraded: _Optional[_Iterable[str]] = ..., unknown_items: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., unknown_types: _Optional[_Iterable[str]] = ..., surface: _Optional[str] = ..., arms: _Optional[_Mapping[str, str]] = ..., arms_away: _Optional[_Iterable[str]] = ..., freshness: _Optional[_Union[Freshness, _Mapping]] = ...) -> None: ...

class Freshness(_message.Message):
    __slots__ = ("model", "list", "trending", "event")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    TRENDING_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    model: float
    list: float
    trending: float
    event: float
    def __init__(self, model: _Optional[float] = ..., list: _Optional[float] = ..., trending: _Optional[float] = ..., event: _Optional[float] = ...) -> None: ...

class ScoredItem(_message.Message):
    __slots__ = ("item_id", "title", "score", "tower_score", "sources", "rules")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TOWER_SCORE_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    title: str
    score: float
    tower_score: float
    sources: _containers.RepeatedScalarFieldContainer[str]
    rules: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., title: _Optional[str] = ..., score: _Optional[float] = ..., tower_score: _Optional[float] = ..., sources: _Optional[_Iterable[str]] = ..., rules: _Optional[_Iterable[str]] = ...) -> None: ...

class SimilarRequest(_message.Message):
    __slots__ = ("item_id", "user_id", "k", "exclude", "filter", "conditions", "surface")
    class FilterEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Texts
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Texts, _Mapping]] = ...) -> None: ...
    class ConditionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Condition
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Condition, _Mapping]] = ...) -> None: ...
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    SURFACE_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    user_id: Id
    k: int
    exclude: _containers.RepeatedCompositeFieldContainer[Id]
    filter: _containers.MessageMap[str, Texts]
    conditions: _containers.MessageMap[str, Condition]
    surface: str
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., user_id: _Optional[_Union[Id, _Mapping]] = ..., k: _Optional[int] = ..., exclude: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., filter: _Optional[_Mapping[str, Texts]] = ..., conditions: _Optional[_Mapping[str, Condition]] = ..., surface: _Optional[str] = ...) -> None: ...

class SimilarResponse(_message.Message):
    __slots__ = ("item_id", "items", "generation", "removed", "degraded", "mode", "surface", "freshness")
    class RemovedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    SURFACE_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    items: _containers.RepeatedCompositeFieldContainer[SimilarItem]
    generation: str
    removed: _containers.ScalarMap[str, int]
    degraded: _containers.RepeatedScalarFieldContainer[str]
    mode: str
    surface: str
    freshness: Freshness
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., items: _Optional[_Iterable[_Union[SimilarItem, _Mapping]]] = ..., generation: _Optional[str] = ..., removed: _Optional[_Mapping[str, int]] = ..., degraded: _Optional[_Iterable[str]] = ..., mode: _Optional[str] = ..., surface: _Optional[str] = ..., freshness: _Optional[_Union[Freshness, _Mapping]] = ...) -> None: ...

class SimilarItem(_message.Message):
    __slots__ = ("item_id", "title", "score", "likeness", "sources")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    LIKENESS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    title: str
    score: float
    likeness: float
    sources: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., title: _Optional[str] = ..., score: _Optional[float] = ..., likeness: _Optional[float] = ..., sources: _Optional[_Iterable[str]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("user_id", "item_id", "k", "session", "exclude", "context", "filter", "mode", "conditions", "surface", "arms")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class FilterEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Texts
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Texts, _Mapping]] = ...) -> None: ...
    class ConditionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Condition
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Condition, _Mapping]] = ...) -> None: ...
    class ArmsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    SURFACE_FIELD_NUMBER: _ClassVar[int]
    ARMS_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    item_id: Id
    k: int
    session: _containers.RepeatedCompositeFieldContainer[SessionEvent]
    exclude: _containers.RepeatedCompositeFieldContainer[Id]
    context: _containers.ScalarMap[str, str]
    filter: _containers.MessageMap[str, Texts]
    mode: str
    conditions: _containers.MessageMap[str, Condition]
    surface: str
    arms: _containers.ScalarMap[str, str]
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., item_id: _Optional[_Union[Id, _Mapping]] = ..., k: _Optional[int] = ..., session: _Optional[_Iterable[_Union[SessionEvent, _Mapping]]] = ..., exclude: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., context: _Optional[_Mapping[str, str]] = ..., filter: _Optional[_Mapping[str, Texts]] = ..., mode: _Optional[str] = ..., conditions: _Optional[_Mapping[str, Condition]] = ..., surface: _Optional[str] = ..., arms: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("user_id", "item_id", "title", "generation", "mode", "place", "dropped_by", "reason", "sources", "tower_score", "tower_place", "score", "ranked_place", "features", "rules", "history", "degraded", "unknown_items", "unknown_types", "surface", "arms", "arms_away", "reasons")
    class ArmsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    DROPPED_BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    TOWER_SCORE_FIELD_NUMBER: _ClassVar[int]
    TOWER_PLACE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    RANKED_PLACE_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ITEMS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_TYPES_FIELD_NUMBER: _ClassVar[int]
    SURFACE_FIELD_NUMBER: _ClassVar[int]
    ARMS_FIELD_NUMBER: _ClassVar[int]
    ARMS_AWAY_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    item_id: Id
    title: str
    generation: str
    mode: str
    place: int
    dropped_by: str
    reason: str
    sources: _containers.RepeatedScalarFieldContainer[str]
    tower_score: float
    tower_place: int
    score: float
    ranked_place: int
    features: _containers.RepeatedCompositeFieldContainer[Feature]
    rules: _containers.RepeatedScalarFieldContainer[str]
    history: int
    degraded: _containers.RepeatedScalarFieldContainer[str]
    unknown_items: _containers.RepeatedCompositeFieldContainer[Id]
    unknown_types: _containers.RepeatedScalarFieldContainer[str]
    surface: str
    arms: _containers.ScalarMap[str, str]
    arms_away: _containers.RepeatedScalarFieldContainer[str]
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., item_id: _Optional[_Union[Id, _Mapping]] = ..., title: _Optional[str] = ..., generation: _Optional[str] = ..., mode: _Optional[str] = ..., place: _Optional[int] = ..., dropped_by: _Optional[str] = ..., reason: _Optional[str] = ..., sources: _Optional[_Iterable[str]] = ..., tower_score: _Optional[float] = ..., tower_place: _Optional[int] = ..., score: _Optional[float] = ..., ranked_place: _Optional[int] = ..., features: _Optional[_Iterable[_Union[Feature, _Mapping]]] = ..., rules: _Optional[_Iterable[str]] = ..., history: _Optional[int] = ..., degraded: _Optional[_Iterable[str]] = ..., unknown_items: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., unknown_types: _Optional[_Iterable[str]] = ..., surface: _Optional[str] = ..., arms: _Optional[_Mapping[str, str]] = ..., arms_away: _Optional[_Iterable[str]] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class Feature(_message.Message):
    __slots__ = ("name", "value", "contribution", "relative")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    RELATIVE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    contribution: float
    relative: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., contribution: _Optional[float] = ..., relative: _Optional[float] = ...) -> None: ...

class RankRequest(_message.Message):
    __slots__ = ("user_id", "items", "k", "session", "exclude", "context", "filter", "conditions", "surface", "exclude_seen", "arms")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class FilterEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Texts
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Texts, _Mapping]] = ...) -> None: ...
    class ConditionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Condition
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Condition, _Mapping]] = ...) -> None: ...
    class ArmsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    SURFACE_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_SEEN_FIELD_NUMBER: _ClassVar[int]
    ARMS_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    items: _containers.RepeatedCompositeFieldContainer[Id]
    k: int
    session: _containers.RepeatedCompositeFieldContainer[SessionEvent]
    exclude: _containers.RepeatedCompositeFieldContainer[Id]
    context: _containers.ScalarMap[str, str]
    filter: _containers.MessageMap[str, Texts]
    conditions: _containers.MessageMap[str, Condition]
    surface: str
    exclude_seen: bool
    arms: _containers.ScalarMap[str, str]
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., items: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., k: _Optional[int] = ..., session: _Optional[_Iterable[_Union[SessionEvent, _Mapping]]] = ..., exclude: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., context: _Optional[_Mapping[str, str]] = ..., filter: _Optional[_Mapping[str, Texts]] = ..., conditions: _Optional[_Mapping[str, Condition]] = ..., surface: _Optional[str] = ..., exclude_seen: bool = ..., arms: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RankResponse(_message.Message):
    __slots__ = ("user_id", "items", "generation", "history", "removed", "degraded", "unknown_items", "unknown_types", "surface", "arms", "arms_away", "freshness")
    class RemovedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ArmsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ITEMS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_TYPES_FIELD_NUMBER: _ClassVar[int]
    SURFACE_FIELD_NUMBER: _ClassVar[int]
    ARMS_FIELD_NUMBER: _ClassVar[int]
    ARMS_AWAY_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    items: _containers.RepeatedCompositeFieldContainer[ScoredItem]
    generation: str
    history: int
    removed: _containers.ScalarMap[str, int]
    degraded: _containers.RepeatedScalarFieldContainer[str]
    unknown_items: _containers.RepeatedCompositeFieldContainer[Id]
    unknown_types: _containers.RepeatedScalarFieldContainer[str]
    surface: str
    arms: _containers.ScalarMap[str, str]
    arms_away: _containers.RepeatedScalarFieldContainer[str]
    freshness: Freshness
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., items: _Optional[_Iterable[_Union[ScoredItem, _Mapping]]] = ..., generation: _Optional[str] = ..., history: _Optional[int] = ..., removed: _Optional[_Mapping[str, int]] = ..., degraded: _Optional[_Iterable[str]] = ..., unknown_items: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., unknown_types: _Optional[_Iterable[str]] = ..., surface: _Optional[str] = ..., arms: _Optional[_Mapping[str, str]] = ..., arms_away: _Optional[_Iterable[str]] = ..., freshness: _Optional[_Union[Freshness, _Mapping]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("user_id", "item_id", "event_type", "timestamp", "event_id", "context")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    item_id: Id
    event_type: str
    timestamp: float
    event_id: str
    context: _containers.ScalarMap[str, str]
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., item_id: _Optional[_Union[Id, _Mapping]] = ..., event_type: _Optional[str] = ..., timestamp: _Optional[float] = ..., event_id: _Optional[str] = ..., context: _Optional[_Mapping[str, str]] = ...) -> None: ...

class AddEventsRequest(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class AddEventsResponse(_message.Message):
    __slots__ = ("stored", "unknown_items", "unknown_types", "too_old")
    STORED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ITEMS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_TYPES_FIELD_NUMBER: _ClassVar[int]
    TOO_OLD_FIELD_NUMBER: _ClassVar[int]
    stored: int
    unknown_items: _containers.RepeatedCompositeFieldContainer[Id]
    unknown_types: _containers.RepeatedScalarFieldContainer[str]
    too_old: int
    def __init__(self, stored: _Optional[int] = ..., unknown_items: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., unknown_types: _Optional[_Iterable[str]] = ..., too_old: _Optional[int] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("item_id", "title", "categories", "available", "columns")
    class ColumnsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    title: str
    categories: Texts
    available: bool
    columns: _containers.MessageMap[str, Value]
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., title: _Optional[str] = ..., categories: _Optional[_Union[Texts, _Mapping]] = ..., available: bool = ..., columns: _Optional[_Mapping[str, Value]] = ...) -> None: ...

class PutItemsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ...) -> None: ...

class PutItemsResponse(_message.Message):
    __slots__ = ("stored", "new", "known", "unplaced", "ignored_columns")
    STORED_FIELD_NUMBER: _ClassVar[int]
    NEW_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    UNPLACED_FIELD_NUMBER: _ClassVar[int]
    IGNORED_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    stored: int
    new: int
    known: int
    unplaced: _containers.RepeatedCompositeFieldContainer[Id]
    ignored_columns: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, stored: _Optional[int] = ..., new: _Optional[int] = ..., known: _Optional[int] = ..., unplaced: _Optional[_Iterable[_Union[Id, _Mapping]]] = ..., ignored_columns: _Optional[_Iterable[str]] = ...) -> None: ...

class GetItemRequest(_message.Message):
    __slots__ = ("item_id",)
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ...) -> None: ...

class GetItemResponse(_message.Message):
    __slots__ = ("item_id", "generation", "title", "categories", "columns", "available", "known", "put_at")
    class ColumnsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    PUT_AT_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    generation: str
    title: str
    categories: _containers.RepeatedScalarFieldContainer[str]
    columns: _containers.MessageMap[str, Value]
    available: bool
    known: bool
    put_at: float
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., generation: _Optional[str] = ..., title: _Optional[str] = ..., categories: _Optional[_Iterable[str]] = ..., columns: _Optional[_Mapping[str, Value]] = ..., available: bool = ..., known: bool = ..., put_at: _Optional[float] = ...) -> None: ...

class ForgetItemRequest(_message.Message):
    __slots__ = ("item_id",)
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ...) -> None: ...

class ForgetItemResponse(_message.Message):
    __slots__ = ("item_id", "forgotten", "known")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    forgotten: bool
    known: bool
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., forgotten: bool = ..., known: bool = ...) -> None: ...

class GetUserRequest(_message.Message):
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ...) -> None: ...

class GetUserResponse(_message.Message):
    __slots__ = ("user_id", "generation", "known", "history", "events", "seen", "listed", "listed_at")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    LISTED_FIELD_NUMBER: _ClassVar[int]
    LISTED_AT_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    generation: str
    known: bool
    history: _containers.RepeatedCompositeFieldContainer[StoredEvent]
    events: _containers.RepeatedCompositeFieldContainer[StoredEvent]
    seen: int
    listed: int
    listed_at: float
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., generation: _Optional[str] = ..., known: bool = ..., history: _Optional[_Iterable[_Union[StoredEvent, _Mapping]]] = ..., events: _Optional[_Iterable[_Union[StoredEvent, _Mapping]]] = ..., seen: _Optional[int] = ..., listed: _Optional[int] = ..., listed_at: _Optional[float] = ...) -> None: ...

class StoredEvent(_message.Message):
    __slots__ = ("item_id", "title", "event_type", "timestamp", "context")
    class ContextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    item_id: Id
    title: str
    event_type: str
    timestamp: float
    context: _containers.ScalarMap[str, str]
    def __init__(self, item_id: _Optional[_Union[Id, _Mapping]] = ..., title: _Optional[str] = ..., event_type: _Optional[str] = ..., timestamp: _Optional[float] = ..., context: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ForgetUserRequest(_message.Message):
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ...) -> None: ...

class ForgetUserResponse(_message.Message):
    __slots__ = ("user_id", "forgotten")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    forgotten: bool
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., forgotten: bool = ...) -> None: ...

class MergeUserRequest(_message.Message):
    __slots__ = ("user_id", "into")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    INTO_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    into: Id
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., into: _Optional[_Union[Id, _Mapping]] = ...) -> None: ...

class MergeUserResponse(_message.Message):
    __slots__ = ("user_id", "into", "events")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    INTO_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    user_id: Id
    into: Id
    events: int
    def __init__(self, user_id: _Optional[_Union[Id, _Mapping]] = ..., into: _Optional[_Union[Id, _Mapping]] = ..., events: _Optional[int] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("ready", "generation", "live", "topology", "store", "refused", "processes", "fresh_items", "hidden_items", "data", "metrics", "rules", "away", "event_types", "surfaces", "surface_errors")
    class RefusedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    READY_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    FRESH_ITEMS_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_ITEMS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    AWAY_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    SURFACES_FIELD_NUMBER: _ClassVar[int]
    SURFACE_ERRORS_FIELD_NUMBER: _ClassVar[int]
    ready: bool
    generation: str
    live: str
    topology: str
    store: str
    refused: _containers.ScalarMap[str, str]
    processes: _containers.RepeatedCompositeFieldContainer[Process]
    fresh_items: int
    hidden_items: int
    data: _struct_pb2.Struct
    metrics: _struct_pb2.Struct
    rules: _containers.RepeatedScalarFieldContainer[str]
    away: _containers.RepeatedScalarFieldContainer[str]
    event_types: _containers.RepeatedScalarFieldContainer[str]
    surfaces: _containers.RepeatedScalarFieldContainer[str]
    surface_errors: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ready: bool = ..., generation: _Optional[str] = ..., live: _Optional[str] = ..., topology: _Optional[str] = ..., store: _Optional[str] = ..., refused: _Optional[_Mapping[str, str]] = ..., processes: _Optional[_Iterable[_Union[Process, _Mapping]]] = ..., fresh_items: _Optional[int] = ..., hidden_items: _Optional[int] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., metrics: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., rules: _Optional[_Iterable[str]] = ..., away: _Optional[_Iterable[str]] = ..., event_types: _Optional[_Iterable[str]] = ..., surfaces: _Optional[_Iterable[str]] = ..., surface_errors: _Optional[_Iterable[str]] = ...) -> None: ...

class Process(_message.Message):
    __slots__ = ("name", "held")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    name: str
    held: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., held: _Optional[_Iterable[str]] = ...) -> None: ...
