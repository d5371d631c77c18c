"""Loading a generation beside another."""

import threading
import time

import pytest

from recsys.errors import GenerationError
from service.generations.holder import HELD, GenerationHolder


class Cache:
    """Hands out the id itself."""

    def fetch(self, generation):
        return generation


def test_what_is_held_answers_while_another_loads():
    """A slow load never holds up queries of the generation in force."""
    gate = threading.Event()

    def load(generation):
        if generation == "new":
            gate.wait(5)
        return generation.upper()

    holder = GenerationHolder(Cache(), load)
    assert holder.wait("old") == "OLD"
    with pytest.raises(GenerationError, match="being loaded"):
        holder.get("new")
    start = time.monotonic()
    assert holder.get("old") == "OLD"
    assert time.monotonic() - start < 1
    gate.set()
    assert holder.wait("new") == "NEW"
    assert holder.get("new") == "NEW"


def test_a_failed_load_is_told_and_tried_anew():
    """The reason reaches who asks, and the next one may have more luck."""
    tries = []

    def load(generation):
        tries.append(generation)
        if len(tries) == 1:
            raise GenerationError("Part x is not what its manifest says.")
        return generation

    holder = GenerationHolder(Cache(), load)
    with pytest.raises(GenerationError, match="Part x"):
        holder.wait("g")
    assert holder.wait("g") == "g"
    assert tries == ["g", "g"]


def test_a_failed_load_keeps_nothing_of_who_asks():
    """It is told again and again for a while, and an exception that is raised collects the frames of every time."""

    def load(generation):
        raise GenerationError("Part x is not what its manifest says.")

    holder, depths = GenerationHolder(Cache(), load), []
    with pytest.raises(GenerationError):
        holder.wait("g")
    for _ in range(3):
        with pytest.raises(GenerationError, match="Part x") as told:
            holder.get("g")
        depths.append(len(told.traceback))
    assert depths == depths[:1] * 3


def test_old_generations_are_let_go():
    """Only as many are held as a swap needs, and the one in use stays."""
    loads = []
    holder = GenerationHolder(Cache(), lambda generation: loads.append(generation) or generation)
    for generation in ("a", "b", "c"):
        holder.wait(generation)
    assert holder.get("a") == "a"
    holder.wait("d")
    assert holder.held == ("c", "a", "d")
    assert len(holder.held) == HELD
    holder.wait("b")
    assert loads == ["a", "b", "c", "d", "b"]


def test_what_a_gateway_answers_from_is_kept_however_long_unused():
    """Aliases may move faster than a gateway follows them."""
    holder = GenerationHolder(Cache(), str)
    holder.wait("in force")
    holder.keep({"in force"})
    for generation in ("b", "c", "d", "e"):
        holder.wait(generation)
    assert set(holder.held) == {"in force", "d", "e"}
