"""A gateway over two shards of retrieval, as real processes: the slates, a dead shard, and a new generation."""

import time

import pytest

from tests.judged_load.outcome import NO_EFFECT, judge
from tests.judged_load.served_pair import GenerationPair
from tests.shards.sharded_pair import ShardedPair

SECONDS = 60.0


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    pair = GenerationPair.make(tmp_path_factory.mktemp("pair"))
    settings = {"TANDEM_DEADLINE_MS": "4000", "TANDEM_DRAIN_SECONDS": "0.5"}
    with ShardedPair(tmp_path_factory.mktemp("sharded"), pair, 2, **settings) as world:
        yield world


def test_a_generation_is_adopted_across_shards(served):
    """Each answer is the slate of all items of the generation that it names, before, during and after the move."""
    served.put(served.pair.second)
    with served.load() as load:
        time.sleep(1)
        served.store.promote(served.pair.second.manifest.id)
        assert load.wait(lambda answer: answer.generation == served.pair.second.manifest.id, SECONDS) is not None
        time.sleep(1)
    outcome = judge("adopted", load.answers, served.expected, NO_EFFECT)
    assert outcome.passed, outcome.wrong


def test_a_dead_shard_fails_no_request(served):
    """`degraded` names it until it is back."""
    with served.load() as load:
        served.kill(2)
        assert load.wait(lambda answer: answer.degraded == ["retrieval-shard-2"], SECONDS) is not None
        time.sleep(1)
        assert "retrieval-shard-2 is away" in served.deployment.log.read_text()
        served.shards[1].start()
        assert load.wait(lambda answer: answer.whole, SECONDS) is not None
    assert not [answer for answer in load.answers if answer.failed]
    assert {tuple(answer.degraded) for answer in load.answers} == {(), ("retrieval-shard-2",)}
