"""Changes of the document of experiments: states, conflicts, layers of the release before, and the history."""

from __future__ import annotations

from typing import Any

import pytest

from recsys.errors import ExperimentError
from recsys.experiments.assignment import OUTSIDE
from recsys.experiments.changes import create, halt, pause, ramp, start, stop
from recsys.experiments.definition import Definition, checked
from recsys.experiments.document import MOST_KEPT, MOST_RUNNING, Experiment, ExperimentsDocument

EMPTY = ExperimentsDocument()


def defined(name: str, change: dict[str, Any] | None = None, **fields: Any) -> Definition:
    """An experiment with the arm `new`, which changes the mode unless another change is given."""
    arm = {"share": 0.5, **({"mode": "hybrid"} if change is None else change)}
    return checked({"name": name, "arms": {"new": arm}, **fields})


def running(*definitions: Definition) -> ExperimentsDocument:
    """A document with these experiments, started one after the other."""
    document = EMPTY
    for definition in definitions:
        document = start(create(document, definition, 1.0), definition.name, 2.0)
    return document


def test_the_life_of_an_experiment() -> None:
    """Users are in arms while it runs; a pause keeps the ramp; each change has its time and a sentence."""
    document = create(EMPTY, defined("one"), 1.0)
    states = [document]
    for change in (
        lambda each: start(each, "one", 2.0),
        lambda each: ramp(each, "one", 0.05, 3.0),
        lambda each: pause(each, "one", 4.0),
        lambda each: start(each, "one", 5.0),
        lambda each: ramp(each, "one", 1.0, 6.0, "canary"),
        lambda each: halt(each, "one", "new", "p99 is 900 ms.", 7.0),
        lambda each: stop(each, "one", 8.0),
    ):
        states.append(change(states[-1]))
    assert [each.experiments["one"].lanes.stops for each in states] == [
        (stopped,) for stopped in (0.0, 0.0, 0.025, 0.0, 0.025, 0.5, 0.0, 0.0)
    ]
    assert [(change.at, change.what, change.by) for change in states[-1].experiments["one"].changes] == [
        (1.0, "Created.", "command"),
        (2.0, "Started.", "command"),
        (3.0, "Ramp from 0 % to 5 %.", "command"),
        (4.0, "Paused.", "command"),
        (5.0, "Started again at 5 %.", "command"),
        (6.0, "Ramp from 5 % to 100 %.", "canary"),
        (7.0, "Arm new halted: p99 is 900 ms.", "monitor"),
        (8.0, "Stopped.", "command"),
    ]


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda each: create(each, defined("runs"), 9.0), "There was an experiment runs already"),
        (lambda each: start(each, "runs", 9.0), "runs is running already"),
        (lambda each: start(each, "over", 9.0), "over has stopped for good"),
        (lambda each: ramp(each, "over", 0.5, 9.0), "over has stopped for good"),
        (lambda each: ramp(each, "made", 0.5, 9.0), "start it: python -m flows experiment start made"),
        (lambda each: ramp(each, "runs", 1.5, 9.0), "0 to 100 %"),
        (lambda each: ramp(start(each, "named", 9.0), "named", 0.5, 9.0), "Callers name the arms of named"),
        (lambda each: ramp(halt(each, "runs", "new", "slow", 9.0), "runs", 0.5, 9.0), "All arms of runs are halted"),
        (lambda each: pause(each, "made", 9.0), "made does not run: it is not started"),
        (lambda each: stop(each, "over", 9.0), "over has stopped already"),
        (lambda each: halt(each, "runs", "old", "slow", 9.0), "runs has no arm old. Its arms: new"),
        (lambda each: start(each, "none", 9.0), "There is no experiment none. There are: runs, over, made, named"),
    ],
)
def test_a_refusal_says_why(change: Any, refusal: str) -> None:
    """The sentence has the state of the experiment, and the command that helps."""
    document = stop(running(defined("runs"), defined("over", {"candidates": 5})), "over", 3.0)
    with pytest.raises(ExperimentError, match=refusal):
        change(create(create(document, defined("made"), 4.0), defined("named", {}, assignment="caller"), 4.0))


def former(name: str, slot: tuple[float, float], **fields: Any) -> Experiment:
    """An experiment as the release before stored it; its arm changes the mode."""
    definition = {"name": name, "layer": "models", "traffic": slot[1] - slot[0], **fields}
    arms = {"new": {"share": 0.5, "mode": "batch"}}
    return Experiment.model_validate({"definition": {**definition, "arms": arms}, "slot": slot})


def test_an_experiment_with_a_part_of_a_layer_lives_on() -> None:
    """It is ramped, paused and started again beside one of the same layer that changes the same thing."""
    parts = {"one": (0.0, 0.5), "two": (0.5, 1.0)}
    stored = {name: former(name, slot).model_copy(update={"status": "running"}) for name, slot in parts.items()}
    document = ExperimentsDocument(experiments=stored)
    document = start(pause(ramp(document, "one", 0.5, 3.0), "one", 4.0), "one", 5.0)
    assert document.experiments["one"].slot == (0.0, 0.5)
    users = range(1_000)
    taking = [each.lanes.assign(users) != OUTSIDE for each in document.experiments.values()]
    assert not (taking[0] & taking[1]).any()
    assert (taking[0] | taking[1]).all()


@pytest.mark.parametrize(
    ("fields", "gone"),
    [({}, "layer"), ({"layer": None}, "traffic"), ({"layer": None, "traffic": 1.0}, "audience.holdout")],
)
def test_a_draft_with_a_layer_is_refused(fields: dict[str, Any], gone: str) -> None:
    """The sentence names the field. It can be replaced by one without the field."""
    stored = former("one", (0.0, 0.5), audience={"holdout": 0.1}, **fields).model_copy(update={"slot": (0.0, 1.0)})
    document = ExperimentsDocument(experiments={"one": stored})
    with pytest.raises(ExperimentError, match=rf"one can't start: there is no {gone} any more: .* Leave {gone} out"):
        start(document, "one", 2.0)
    assert start(create(document, defined("one"), 2.0), "one", 3.0).running(3.0)


MODE = {"mode": "batch"}


@pytest.mark.parametrize(
    ("one", "other", "refused"),
    [
        (defined("one", MODE), defined("two", MODE), True),
        (defined("one", MODE), defined("two", {"generation": "g2"}), False),
        (defined("one", MODE, audience={"surfaces": ["a", "b"]}), defined("two", MODE), True),
        (
            defined("one", MODE, audience={"surfaces": ["a"]}),
            defined("two", MODE, audience={"surfaces": ["b"]}),
            False,
        ),
        (
            defined("one", MODE, audience={"context": {"device": ["phone"]}}),
            defined("two", MODE, audience={"context": {"device": ["tv"]}}),
            False,
        ),
        (
            defined("one", MODE, end="2026-01-01T00:00:00Z"),
            defined("two", MODE, start="2026-01-01T00:00:00Z"),
            False,
        ),
        (defined("one", {}), defined("two", {}), False),
    ],
)
def test_two_experiments_do_not_change_the_same_thing(one: Definition, other: Definition, refused: bool) -> None:
    """Experiments that share users and requests change different things; the refusal names the thing."""
    if not refused:
        assert len(running(one, other).running(0.0)) + bool(one.end) + bool(other.start) >= 2
        return
    with pytest.raises(ExperimentError, match="two can't run beside one: both change mode on the same surfaces"):
        running(one, other)


def test_limits() -> None:
    """At most MOST_RUNNING run; of MOST_KEPT the oldest stopped one makes room, and a running one never does."""
    document = running(*(defined(f"n{place}", {}) for place in range(MOST_RUNNING)))
    with pytest.raises(ExperimentError, match="8 experiments run at once at most"):
        start(create(document, defined("more", {}), 3.0), "more", 4.0)
    for place in range(MOST_RUNNING, MOST_KEPT):
        document = create(document, defined(f"n{place}"), 3.0)
    with pytest.raises(ExperimentError, match="100 experiments are kept at most"):
        create(document, defined("more"), 4.0)
    document = create(stop(stop(document, "n1", 4.0), "n5", 5.0), defined("more"), 6.0)
    assert ("n1" in document.experiments, len(document.experiments)) == (False, MOST_KEPT)


def test_a_draft_is_replaced_by_another_definition() -> None:
    """A mistake in a file does not use up the name; a started experiment keeps its definition."""
    document = create(EMPTY, defined("one"), 1.0)
    again = create(document, defined("one", {"candidates": 50}), 2.0)
    assert again.experiments["one"].definition == defined("one", {"candidates": 50})
    with pytest.raises(ExperimentError, match="There was an experiment one already"):
        create(start(again, "one", 3.0), defined("one"), 4.0)
