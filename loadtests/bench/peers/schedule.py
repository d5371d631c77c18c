"""Schedule of a benchmark: runs its servers in turn or all together, and checks that they recommend the same items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

import numpy as np

from loadtests.bench.peers.same_slates import Slates, compare, slates
from loadtests.bench.peers.servers import PEERS, Running, running
from loadtests.bench.world import HOME, World

COMPARED = 40
"""Users whose slates are compared."""


@dataclass(frozen=True, eq=False)
class Variant:
    """A peer with a name and variables of its own in its environment."""

    name: str
    peer: str
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def processes(self) -> tuple[list[str], dict[str, str]]:
        """The command, and the variables of its environment."""
        peer = PEERS[self.peer]
        return peer.command, {**peer.variables, **self.variables}


def one_by_one(place: World, variants: Sequence[Variant], passes: int) -> Iterator[tuple[int, str, Running]]:
    """Yield pass, name and peer; a peer runs until the next one is taken. Each pass begins with another peer.

    PeerError if the slates of two peers differ.
    """
    alike = _Alike(place)
    for number in range(passes):
        for each in _rotated(variants, number):
            with _running(each, place) as peer:
                alike.compare(peer, each.name)
                yield number, each.name, peer


def together(
    place: World, variants: Sequence[Variant], passes: int, rounds: int = 1
) -> Iterator[tuple[int, str, Running]]:
    """As `one_by_one`, but all peers run all the time. rounds: loads of a pass. Each round begins with another peer.

    Peers that differ in the door alone share one deployment. On a shared machine only loads that are seconds apart can
    be compared. The CPU of idle peers adds to the response times of the loaded one.
    """
    alike = _Alike(place)
    with ExitStack() as stack:
        peers: dict[Variant, Running] = {}
        for each in variants:
            same = [peer for other, peer in peers.items() if other.processes == each.processes]
            peers[each] = same[0].at_door(each.peer) if same else stack.enter_context(_running(each, place))
        for each, peer in peers.items():
            alike.compare(peer, each.name)
        for number in range(passes * rounds):
            for each in _rotated(variants, sum(divmod(number, rounds))):
                yield number, each.name, peers[each]


def _rotated(variants: Sequence[Variant], number: int) -> Sequence[Variant]:
    first = number % len(variants)
    return *variants[first:], *variants[:first]


def _running(each: Variant, place: World) -> AbstractContextManager[Running]:
    return running(each.peer, place, HOME / "peers" / each.peer, **each.variables)


class _Alike:
    """Compares the slates of all peers with those of the first."""

    def __init__(self, place: World) -> None:
        self._users = np.random.default_rng(0).choice(place.users, COMPARED, replace=False).tolist()
        self._expected: Slates | None = None

    def compare(self, peer: Running, name: str) -> None:
        """Raise PeerError if the slates of this peer differ."""
        found = slates(peer, self._users)
        self._expected = self._expected or found
        compare(self._expected, found, name)
