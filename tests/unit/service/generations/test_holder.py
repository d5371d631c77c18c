"""Loading a generation beside another."""

import threading

import pytest

from recsys.errors import GenerationError
from service.generations.holder import GenerationHolder


class Cache:
    """Returns the id in place of a folder."""

    def fetch(self, generation):
        return generation


def test_a_held_generation_answers_while_another_loads():
    """A slow load does not delay queries of the generation in force."""
    loading, gate = threading.Event(), threading.Event()

    def load(generation):
        if generation == "new":
            loading.set()
            gate.wait(5)
        return generation.upper()

    holder = GenerationHolder(Cache(), load)
    holder.load("old")
    thread = threading.Thread(target=holder.load, args=["new", ["old"]])
    thread.start()
    assert loading.wait(5)
    assert holder.get("old") == "OLD"
    with pytest.raises(GenerationError, match="new is not loaded"):
        holder.get("new")
    gate.set()
    thread.join()
    assert holder.get("new") == "NEW"


def test_old_generations_are_dropped():
    """By the next load, unless they are kept."""
    loads = []
    holder = GenerationHolder(Cache(), lambda generation: loads.append(generation) or generation)
    for generation in ("in force", "b", "c", "c", "d"):
        holder.load(generation, {"in force"})
    assert holder.held == ("in force", "d")
    assert loads == ["in force", "b", "c", "d"]
