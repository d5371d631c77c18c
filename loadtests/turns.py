"""Peers in turns over one world: each is started, compared with the first and stopped before the next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from loadtests.alike import Slates, compare, slates
from loadtests.peers.servers import Running, running
from loadtests.world import HOME, World

COMPARED = 40
"""Users whose slates are compared before anything is timed."""


@dataclass(frozen=True)
class Variant:
    """A peer with variables of its own in its environment, by a name of its own."""

    name: str
    peer: str
    variables: Mapping[str, str] = field(default_factory=dict)


def turns(place: World, variants: Sequence[Variant], passes: int) -> Iterator[tuple[int, str, Running]]:
    """Pass, name and peer, which runs until the next is asked for; PeerError where two do not answer alike.

    Each pass begins with another.
    """
    asked = np.random.default_rng(0).choice(place.users, COMPARED, replace=False).tolist()
    expected: Slates | None = None
    for number in range(passes):
        first = number % len(variants)
        for each in (*variants[first:], *variants[:first]):
            with running(each.peer, place, HOME / "peers" / each.peer, **each.variables) as peer:
                told = slates(peer, asked)
                expected = expected or told
                compare(expected, told, each.name)
                yield number, each.name, peer
