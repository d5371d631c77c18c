"""The contract of the store of experiments: one document, changed in one step, on Valkey and Redis."""

from __future__ import annotations

import pytest

from recsys.errors import ExperimentError, GenerationError
from recsys.experiments.document import ExperimentsDocument
from recsys.store.redis.redis_experiments import HALT_EXPIRE
from tests.contracts.stores import Store, is_notified, of_generation, publish_small


def ramped(document: ExperimentsDocument, ramp: float) -> ExperimentsDocument:
    """The document with the experiment `test` at a ramp."""
    changed = document.experiments["test"].model_copy(update={"ramp": ramp})
    return document.model_copy(update={"experiments": {"test": changed}})


def test_of_two_changes_at_once_both_are_kept_or_one_is_refused(store: Store) -> None:
    """The loser's function receives the winner's document: it adds to that, or refuses with its sentence."""
    publish_small(store.generations, "g1")
    store.experiments.change(lambda _: of_generation("g1"))
    seen: list[float] = []

    def raced(document: ExperimentsDocument) -> ExperimentsDocument:
        seen.append(document.experiments["test"].ramp)
        if len(seen) == 1:
            store.experiments.change(lambda each: ramped(each, 0.5))
        return ramped(document, document.experiments["test"].ramp + 0.1)

    assert store.experiments.change(raced).experiments["test"].ramp == 0.6
    assert (seen, store.experiments.read().version) == ([0.0, 0.5], 3)

    def refuses(document: ExperimentsDocument) -> ExperimentsDocument:
        if document.experiments["test"].ramp == 1.0:
            raise ExperimentError("It is at 100 %.")
        store.experiments.change(lambda each: ramped(each, 1.0))
        return ramped(document, 0.9)

    with pytest.raises(ExperimentError, match="at 100"):
        store.experiments.change(refuses)
    assert store.experiments.read().experiments["test"].ramp == 1.0


def test_a_repeated_command_is_one_change(store: Store) -> None:
    """redis-py sends a command again after a dropped connection. The second try finds its own document."""
    publish_small(store.generations, "g1")
    store.experiments.change(lambda _: of_generation("g1"))
    send = store.experiments._redis.eval
    store.experiments._redis.eval = lambda *values: send(*values) and send(*values)

    def once(document: ExperimentsDocument) -> ExperimentsDocument:
        if document.experiments["test"].ramp:
            raise ExperimentError("It was ramped already.")
        return ramped(document, 0.5)

    assert store.experiments.change(once).version == 2
    assert store.experiments.read().version == 2


def test_a_generation_that_is_needed_stays(store: Store) -> None:
    """An arm's generation must be in the store, and is not deleted before the experiment stops."""
    with pytest.raises(ExperimentError, match="g1 is not in the store"):
        store.experiments.change(lambda _: of_generation("g1"))
    assert store.experiments.read().version == 0
    publish_small(store.generations, "g1")
    store.experiments.change(lambda _: of_generation("g1"))
    with pytest.raises(GenerationError, match="an experiment needs it"):
        store.generations.delete("g1")
    assert store.generations.needed() == {"g1"}
    store.experiments.change(lambda _: ExperimentsDocument())
    store.generations.delete("g1")
    assert store.generations.generations() == []


def test_a_deleted_generation_takes_the_lists_of_arms_with_it(store: Store) -> None:
    """Lists of a variant are read by its name alone, and leave no key behind."""
    store.publish("g1")
    store.flows.write_lists("g1", 2, {"7": b"of all"})
    store.flows.write_lists("g1", 2, {"7": b"of the arm"}, "test.new")
    assert [store.read("g1", "7", variant=name)[0].listed for name in ("", "test.new", "test.old")] == [
        b"of all",
        b"of the arm",
        None,
    ]
    assert store.flows.read_lists("g1", 2, ["8", "7"]) == [None, b"of all"]
    assert store.flows.read_user_ids("g1", 0) + store.flows.read_user_ids("g1", 1) == ["7"]
    store.generations.delete("g1")
    assert store.read("g1", "7", variant="test.new")[0].listed is None
    assert store.client.keys("gen:*") == []


def test_a_halt(store: Store) -> None:
    """The first reason is kept. Halts of arms that do not run are not read."""
    publish_small(store.generations, "g1")
    document = store.experiments.change(lambda _: of_generation("g1"))
    assert store.experiments.halts(document) == {}
    store.experiments.halt("test", "new", "Its generation is refused.")
    store.experiments.halt("test", "new", "Another reason.")
    store.experiments.halt("old", "new", "A reason.")
    assert store.experiments.halts(document) == {("test", "new"): "Its generation is refused."}
    assert store.experiments.halts(ExperimentsDocument()) == {}
    assert 0 < store.client.ttl("experiments:halt:test:new") <= HALT_EXPIRE


def test_a_change_is_announced(store: Store) -> None:
    """A waiting process reads the document at once."""
    publish_small(store.generations, "g1")
    assert is_notified(store.registry, lambda: store.experiments.change(lambda _: of_generation("g1")))
