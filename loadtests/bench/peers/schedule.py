"""Schedule of a benchmark: runs its servers in turn or all together, and checks that they recommend the same items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack

import numpy as np

from loadtests.bench.peers.same_slates import Slates, compare, slates
from loadtests.bench.peers.servers import Running, running
from loadtests.bench.world import HOME, World

COMPARED = 40
"""Users whose slates are compared."""


def one_by_one(place: World, names: Sequence[str], passes: int) -> Iterator[tuple[int, str, Running]]:
    """Yield pass, name and peer; a peer runs until the next one is taken. Each pass begins with another peer.

    PeerError if the slates of two peers differ.
    """
    alike = _Alike(place)
    for number in range(passes):
        for name in _rotated(names, number):
            with _running(name, place) as peer:
                alike.compare(peer, name)
                yield number, name, peer


def together(place: World, names: Sequence[str], passes: int, rounds: int = 1) -> Iterator[tuple[int, str, Running]]:
    """As `one_by_one`, but all peers run all the time. rounds: loads of a pass. Each round begins with another peer.

    On a shared machine only loads that are seconds apart can be compared. The CPU of idle peers adds to the response
    times of the loaded one.
    """
    alike = _Alike(place)
    with ExitStack() as stack:
        peers = {name: stack.enter_context(_running(name, place)) for name in names}
        for name, peer in peers.items():
            alike.compare(peer, name)
        for number in range(passes * rounds):
            for name in _rotated(names, sum(divmod(number, rounds))):
                yield number, name, peers[name]


def _rotated(names: Sequence[str], number: int) -> Sequence[str]:
    first = number % len(names)
    return *names[first:], *names[:first]


def _running(name: str, place: World) -> AbstractContextManager[Running]:
    return running(name, place, HOME / "peers" / name)


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
