"""Peers in turns over one world: each is compared with the first, and stopped before the next, or runs beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

import numpy as np

from loadtests.bench.peers.alike import Slates, compare, slates
from loadtests.bench.peers.servers import PEERS, Running, running
from loadtests.bench.world import HOME, World

COMPARED = 40
"""Users whose slates are compared before anything is timed."""


@dataclass(frozen=True, eq=False)
class Variant:
    """A peer with variables of its own in its environment, by a name of its own."""

    name: str
    peer: str
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def processes(self) -> tuple[list[str], dict[str, str]]:
        """What is started, and with which variables."""
        peer = PEERS[self.peer]
        return peer.command, {**peer.variables, **self.variables}


def turns(place: World, variants: Sequence[Variant], passes: int) -> Iterator[tuple[int, str, Running]]:
    """Pass, name and peer, which runs until the next is asked for; PeerError where two do not answer alike.

    Each pass begins with another.
    """
    alike = _Alike(place)
    for number in range(passes):
        for each in _turned(variants, number):
            with _running(each, place) as peer:
                alike.compare(peer, each.name)
                yield number, each.name, peer


def together(
    place: World, variants: Sequence[Variant], passes: int, rounds: int = 1
) -> Iterator[tuple[int, str, Running]]:
    """The same where all of them run all the time; rounds: of a pass. Who begins moves on with each, and each pass.

    Peers that differ in the door alone are one deployment. On cores that other machines take for minutes at a time two
    loads can be compared that are seconds apart, and not those on both sides of a start. What the others take while
    they are idle counts against whom is loaded.
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
            for each in _turned(variants, sum(divmod(number, rounds))):
                yield number, each.name, peers[each]


def _turned(variants: Sequence[Variant], number: int) -> Sequence[Variant]:
    first = number % len(variants)
    return *variants[first:], *variants[:first]


def _running(each: Variant, place: World) -> AbstractContextManager[Running]:
    return running(each.peer, place, HOME / "peers" / each.peer, **each.variables)


class _Alike:
    """What the first peer answered, and whether others do the same."""

    def __init__(self, place: World) -> None:
        self._asked = np.random.default_rng(0).choice(place.users, COMPARED, replace=False).tolist()
        self._expected: Slates | None = None

    def compare(self, peer: Running, name: str) -> None:
        """PeerError where it does not."""
        told = slates(peer, self._asked)
        self._expected = self._expected or told
        compare(self._expected, told, name)
