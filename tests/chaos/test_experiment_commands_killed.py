"""Tests of commands on experiments that are killed, or run at once: the old or the new document, and one sentence."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from multiprocessing.synchronize import Barrier
from typing import Any
from unittest.mock import patch

import pytest

from flows.__main__ import main
from recsys.experiments.document import ExperimentsDocument
from recsys.store.redis.redis_experiments import RedisExperimentStore
from tests.chaos.kill_points import die_at
from tests.chaos.publishing_world import PublishingWorld


@pytest.fixture
def store(world: PublishingWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisExperimentStore]:
    """A live generation, the running experiment `first` with this generation, and the draft `second`."""
    world.make("g1", items=30, users=20)
    world.publish("g1")
    monkeypatch.chdir(world.home)
    monkeypatch.setenv("REDIS_URL", world.url)
    monkeypatch.setenv("TANDEM_HOME", str(world.home / "work"))
    changes = {"first": 'generation = "g1"', "second": 'mode = "batch"', "third": "candidates = 20"}
    for name, change in changes.items():
        (world.home / f"{name}.toml").write_text(f'name = "{name}"\n[arms.new]\nshare = 0.5\n{change}\n')
    for action in ("create first.toml", "create second.toml", "start first", "ramp first 5"):
        assert command(action) == ""
    store = RedisExperimentStore(world.url)
    yield store
    store.close()


def command(action: str) -> str:
    """Run an action in this process; the sentence of its error."""
    errors = StringIO()
    with redirect_stderr(errors), redirect_stdout(StringIO()):
        main(["experiment", *action.split()])
    return errors.getvalue().strip()


def what(document: ExperimentsDocument) -> dict[str, Any]:
    """The document without the times of its changes."""
    return document.model_dump(exclude={"version": True, "experiments": {"__all__": {"changes": {"__all__": {"at"}}}}})


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("action", ["create third.toml", "ramp first 50"])
def test_a_killed_command_leaves_the_old_or_the_new_document(
    world: PublishingWorld, store: RedisExperimentStore, action: str, step: int
) -> None:
    """At each point the document and its version are those before or after; a second run ends in the new state.

    `make test` takes every fourth point.
    """
    world.remember()
    before = store.read()
    assert command(action) == ""
    after = store.read()
    world.restore()
    total, _ = die_at(0, lambda: world_command(action))
    for point in range(1, total + 1, step):
        world.restore()
        count, place = die_at(point, lambda: world_command(action))
        assert count == point
        with world.died_at(place):
            left = store.read()
            assert what(left) in (what(before), what(after))
            assert store.read().version == before.version + (what(left) == what(after))
            command(action)
            assert what(store.read()) == what(after)


def world_command(action: str) -> None:
    """The command in a child that may be killed."""
    assert command(action) == ""


@pytest.mark.parametrize(
    ("one", "other", "sentence"),
    [
        (
            "ramp first 50",
            "ramp first 20",
            "Experiment first was changed at the same time: Ramp from",
        ),
        ("stop first", "ramp first 100", "Experiment first was changed at the same time:"),
        ("create third.toml", "create third.toml", "Experiment third was changed at the same time: Created."),
    ],
)
def test_of_two_commands_at_once_one_is_refused(
    store: RedisExperimentStore, one: str, other: str, sentence: str
) -> None:
    """Both have read the document before either writes. The document is that of the command without an error."""
    before = store.read()
    context = multiprocessing.get_context("fork")
    barrier, errors = context.Barrier(2), context.Queue()
    actions = (one, other)
    children = [context.Process(target=meet, args=(action, barrier, errors)) for action in actions]
    for child in children:
        child.start()
    ended = dict.fromkeys(actions, "")
    ended |= {action: error for action, error in (errors.get(timeout=60) for _ in children) if error}
    for child in children:
        child.join(20)
    assert store.read().version == before.version + 1
    (refused,) = [action for action, error in ended.items() if error]
    assert ended[refused].startswith(sentence)
    after = store.read()
    if one != other:
        (done,) = {*actions} - {refused}
        assert what(after) == what(after_alone(store, before, done))


def after_alone(store: RedisExperimentStore, before: ExperimentsDocument, action: str) -> ExperimentsDocument:
    """The document after one command alone."""
    store.change(lambda _: before)
    assert command(action) == ""
    return store.read()


def meet(action: str, barrier: Barrier, errors: Any) -> None:
    """Run a command, which waits before its first write until the other command is there too."""
    write = RedisExperimentStore._write
    waited: list[bool] = []

    def together(*values: Any) -> bool:
        if not waited:
            waited.append(True)
            barrier.wait(20)
        return write(*values)

    with patch.object(RedisExperimentStore, "_write", together):
        errors.put((action, command(action)))
