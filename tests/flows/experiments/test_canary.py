"""The canary of a generation: its steps, its end by a guardrail, and the generation that goes live."""

import json
import time
from contextlib import closing

import pytest

from flows.__main__ import main
from flows.canary import canary
from flows.lists import batch
from recsys.experiments import changes
from recsys.store.process_registry import Announcement
from recsys.store.redis.redis_experiments import RedisExperimentStore
from recsys.store.redis.redis_registry import RedisProcessRegistry
from recsys.store.stored_types import LIVE
from tests.sample_data import tiny
from training.experiments.guardrails import LOOKS, ArmCounts, Look

NAME = "canary-g-next"


class Canary:
    """The canary of g-next in the shop's store."""

    def __init__(self, shop):
        self.shop, self.store = shop, RedisExperimentStore(shop.url)

    def look(self):
        """Keep a look at the guardrails, as the flow `monitor` does."""
        self.store.keep_looks(LOOKS.dump_json([Look(time.time(), {"here": {f"{NAME}/new": ArmCounts()}})]))

    def step(self, minutes=31):
        """Run the flow some minutes later; its sentence on the canary."""
        self.look()
        self.store.change(lambda document: _earlier(document, 60 * minutes))
        return canary().canaries.get(NAME)

    @property
    def experiment(self):
        return self.store.read().experiments[NAME]


def _earlier(document, seconds):
    """The document with earlier changes."""
    experiment = document.experiments[NAME]
    moved = tuple(each.model_copy(update={"at": each.at - seconds}) for each in experiment.changes)
    return document.model_copy(update={"experiments": {NAME: experiment.model_copy(update={"changes": moved})}})


@pytest.fixture
def started(shop, capsys):
    """A canary that has taken no step."""
    shop.publish_beside("g-next")
    batch(5)
    assert main(["promote", "g-next", "--canary", "5,25,100", "--every", "30m", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "running"
    started = Canary(shop)
    yield started
    started.store.close()


def test_a_canary_goes_live(shop, started):
    """Each step lasts its time, and makes the lists of its users first. After the last step the generation is live."""
    assert started.step(0).startswith("Ramp from 0 % to 5 %; ")
    assert started.step(29) == "It is at 5 %, and no step is due."
    assert 0 < len(shop.users_with_lists("g-next")) < tiny.USERS / 5
    assert started.step(2).startswith("Ramp from 5 % to 25 %")
    assert started.step().startswith("Ramp from 25 % to 100 %")
    assert len(shop.users_with_lists("g-next")) == tiny.USERS
    assert shop.generations.alias(LIVE) == shop.live
    assert started.step() == "g-next is live."
    assert (shop.generations.alias(LIVE), started.experiment.status) == ("g-next", "stopped")
    assert [each.by for each in started.experiment.changes] == ["canary"] * 6
    assert started.step() is None


def test_a_halted_canary_ends(shop, started):
    """A guardrail that breaks stops the experiment: all users have the live generation."""
    started.step(0)
    started.store.change(lambda document: changes.halt(document, NAME, "new", "p99 is 900 ms.", time.time()))
    assert started.step(0) == "Rolled back: p99 is 900 ms."
    assert (started.experiment.status, shop.generations.alias(LIVE)) == ("stopped", shop.live)
    assert main(["delete", "g-next"]) == 0


def test_a_canary_waits_for_the_monitor_and_for_gateways(shop, started, monkeypatch):
    """Without a look at the guardrails no step is taken, nor while a gateway still loads the generation.

    Users who moved before would get the control. A gateway that refuses the generation is named with its reason.
    """
    assert canary().canaries == {
        NAME: "It waits: nothing looked at the guardrails lately. Run python -m flows monitor."
    }
    monkeypatch.setattr("flows.steps.gateway_readiness.WAIT_SECONDS", 0.2)
    monkeypatch.setattr("recsys.store.redis.redis_registry.ANNOUNCED_SECONDS", 600)  # no process repeats it
    with closing(RedisProcessRegistry(shop.url)) as registry:
        registry.announce(Announcement("gateway a 7", "gateway", (shop.live, "g-next"), (shop.live,)))
        waits = "It waits: gateway a 7 does not answer from generation g-next yet."
        assert started.step(0) == f"{waits} The arms are as before; run this again later."
        refused = {"g-next": "A hash differs."}
        registry.announce(Announcement("gateway a 7", "gateway", (shop.live,), (shop.live,), refused))
        assert "Generation g-next was refused by gateway a 7: A hash differs." in started.step(0)
        assert started.experiment.ramp == 0.0
        registry.announce(Announcement("gateway a 7", "gateway", (shop.live, "g-next"), (shop.live, "g-next")))
        assert started.step(0).startswith("Ramp from 0 % to 5 %")


def test_a_refused_canary_is_a_sentence(shop, started, capsys):
    """A second canary beside the first one, an unknown generation, or the live one; after a stop another one starts."""
    assert main(["promote", "g-next", "--canary", "100"]) == 1
    assert "can't run beside canary-g-next: both change generation" in capsys.readouterr().err
    assert main(["experiment", "stop", NAME]) == 0
    assert main(["promote", "g-gone", "--canary", "5,100"]) == 1
    assert "Generation g-gone is not in the store" in capsys.readouterr().err
    assert main(["promote", "", "--canary", "5,100"]) == 1
    assert "canary: arms.new.generation is a text of 1 to 64 characters" in capsys.readouterr().err
    assert main(["promote", "g-next", "--every", "1h"]) == 1
    assert "--every is the time of a canary's steps: add --canary 5,25,100" in capsys.readouterr().err
    assert main(["promote", shop.live, "--canary", "5,100"]) == 1
    assert "is live already" in capsys.readouterr().err
    assert main(["promote", "g-next", "--canary", "100"]) == 0
    assert [*started.store.read().experiments] == [NAME, f"{NAME}-2"]
