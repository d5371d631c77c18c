"""The registry of candidate sources, such as popular items or similar items: finds, checks and orders them.

Every module of `recsys.retrieval.sources` is one source. Retrieval, the ranker's features, and the names of sources in
answers come from this registry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from recsys.errors import GenerationError
from recsys.retrieval import sources
from recsys.retrieval.source import CandidateSource
from recsys.types import CANDIDATES, Source

FIRST = "tower", "covisit", "ease", "popular", "fresh", "repeat"
"""Sources of a generation whose manifest names none. The ranker's features are in this order; sources added since
follow in the order of their flags."""

LEAST_REST = 64
"""Candidates that must be left to the source without a share. Items put since take up to 32 of them."""


def checked(found: Iterable[CandidateSource]) -> tuple[CandidateSource, ...]:
    """The sources in their order; ValueError if sources contradict each other."""
    places = {name: place for place, name in enumerate(FIRST)}
    ordered = sorted(found, key=lambda source: (places.get(source.name, len(places)), source.flag))
    for at, source in enumerate(ordered):
        for other in ordered[:at]:
            if source.name == other.name or source.flag == other.flag:
                raise ValueError(
                    f"The sources {other.name} (flag {other.flag}) and {source.name} (flag {source.flag}) need names "
                    "and flags of their own."
                )
    rest = [source.name for source in ordered if source.share is None]
    if len(rest) != 1:
        raise ValueError(f"One source has the share None: it brings what the others leave. Here: {', '.join(rest)}.")
    left = CANDIDATES - sum(source.share or 0 for source in ordered)
    if left < LEAST_REST:
        raise ValueError(f"The shares leave {left} of {CANDIDATES} candidates to {rest[0]}; leave {LEAST_REST}.")
    return tuple(ordered)


def discovered(package: ModuleType) -> list[CandidateSource]:
    """The SOURCE of each module of a package; ValueError names a module without one."""
    found = []
    for module in iter_modules(package.__path__, f"{package.__name__}."):
        source = getattr(import_module(module.name), "SOURCE", None)
        if not isinstance(source, CandidateSource):
            raise ValueError(f"The module {module.name} must define SOURCE, a CandidateSource.")
        found.append(source)
    return found


WITH_THE_QUERY = CandidateSource("precomputed", Source.PRECOMPUTED, 0), CandidateSource("trending", Source.TRENDING, 0)
"""The sources whose items the gateway reads from Redis: the user's list, and the trending items of a batch job."""

SOURCES = checked([*discovered(sources), *WITH_THE_QUERY])
"""Every source."""

RETRIEVED = tuple(source for source in SOURCES if source.finder is not None)
"""The sources that retrieval calls. The ranker has a feature for each, in this order."""


@cache
def names_of(flags: int) -> tuple[str, ...]:
    """The names of the sources in `flags`, by ascending flag."""
    return tuple(source.name for source in sorted(SOURCES, key=lambda each: each.flag) if flags & source.flag)


def trained_with(names: Sequence[str] | None) -> tuple[CandidateSource, ...]:
    """The sources that retrieve in a generation, from the names in its manifest; GenerationError if one is unknown.

    A generation is served with the sources that its ranker was trained with. The ranker's features are the first of
    this code's features, so these sources must be the first of this code's sources.
    """
    wanted = tuple(FIRST if names is None else names)
    known = tuple(source.name for source in RETRIEVED)
    if not wanted or known[: len(wanted)] != wanted:
        raise GenerationError(
            f"The generation was trained with the sources {', '.join(wanted)}, and this code has {', '.join(known)}. "
            "Make a generation with: python -m flows run --data DIR."
        )
    return RETRIEVED[: len(wanted)]
