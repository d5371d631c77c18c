"""The parts that the recommender calls, which `service.wiring` makes."""

from __future__ import annotations

from dataclasses import dataclass

from recsys.store.redis.run_store import RedisRunStore
from service.experiments.request_arms import RequestArms
from service.generations.switcher import GenerationSwitcher
from service.recommend.pipeline import Pipeline
from service.verbs.explain import SlateExplainer
from service.verbs.impressions import ImpressionLog
from service.verbs.items import ItemVerbs
from service.verbs.similar import SimilarItems
from service.verbs.surfaces import SurfacesFollower
from service.verbs.trending import TrendingFollower
from service.verbs.users import UserVerbs


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The parts of a gateway process."""

    pipeline: Pipeline
    switcher: GenerationSwitcher
    users: UserVerbs
    items: ItemVerbs
    similar: SimilarItems
    explainer: SlateExplainer
    trending: TrendingFollower
    impressions: ImpressionLog
    arms: RequestArms
    surfaces: SurfacesFollower
    runs: RedisRunStore
