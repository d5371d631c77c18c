"""What all parts of a run's lists share, and the list maker and the store that a process opens to compute parts.

Each process reads the generation (models and tables of one training) from its own cache folder, and connects to the
store that its own environment names.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from recsys.environment import Environment
from recsys.errors import GenerationError
from recsys.fresh_items.catalogue_changes import CatalogueChanges
from recsys.fresh_items.put_items import NOTHING_PUT
from recsys.generation import content_checks
from recsys.generation.cache import GenerationCache
from recsys.generation.loader import load_ranker, load_retriever
from recsys.generation.manifest import GenerationFolder
from recsys.lists.list_maker import ListMaker
from recsys.rules import Rules
from recsys.store.from_environment import OpenStore, open_store
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.redis.store_address import address
from recsys.types import CANDIDATES, Id


@dataclass(frozen=True, slots=True)
class ListWork:
    """How a run makes lists. generation: that makes them. now: unix seconds of the run, which the lists are made for.

    rules, candidates, trending: as of `ListMaker`; trending by the ids of items.
    """

    generation: str
    now: float
    rules: Rules = field(default_factory=Rules)
    trending: tuple[Id, ...] = ()
    candidates: int = CANDIDATES

    def open(self) -> OpenMaker:
        """The maker and the store of this process; they stay open for the next part of the same run."""
        key = self.generation, self.now
        with _opening:
            if key not in _open:
                _open.clear()  # first: two generations may not fit into the memory
                _open[key] = _load(self.generation)
            loaded = _open[key]
        maker = replace(loaded.maker, rules=self.rules, candidates=self.candidates).with_trending(self.trending)
        return replace(loaded, maker=maker)


@dataclass(frozen=True, slots=True)
class OpenMaker:
    """A maker of lists, and the store that it reads users from and writes lists to."""

    maker: ListMaker
    generations: RedisGenerationStore
    flows: RedisFlowStore


_open: dict[tuple[str, float], OpenMaker] = {}
"""The maker of the last part that this process computed."""

_opening = threading.Lock()
"""A Dask worker may compute parts in several threads, which share one maker."""


def _load(generation: str) -> OpenMaker:
    environment = Environment.read()
    store = open_store(environment)
    generations = store.generations()
    if generations.read_manifest(generation) is None:  # also if this host has the generation in its cache
        store.close()
        raise GenerationError(
            f"Generation {generation} is not in the store at {address(store.url)}. A Dask worker needs the REDIS_URL "
            "of the flow."
        )
    return OpenMaker(list_maker(fetch(generation, environment, generations), store), generations, store.flows())


def fetch(generation: str, environment: Environment, generations: RedisGenerationStore) -> GenerationFolder:
    """The folder of a generation on this host."""
    return GenerationCache(environment.folder("cache"), generations, content_checks.check).fetch(generation)


def list_maker(folder: GenerationFolder, store: OpenStore) -> ListMaker:
    """A maker of lists from a generation, the items added since through PUT /items, and the counts of events."""
    manifest, tables, puts = folder.manifest, folder.tables(), store.items().changes(NOTHING_PUT)
    fresh = CatalogueChanges.of(puts, tables.ids.rows_of, tables.available, manifest.data_end)
    ranker = load_ranker(folder).with_counts(store.event_counts())
    maker = ListMaker(manifest, tables, folder.spec(), load_retriever(folder), ranker)
    return replace(maker, fresh=fresh) if len(puts) else maker
