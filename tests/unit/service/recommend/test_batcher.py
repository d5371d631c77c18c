"""The merging of waiting requests: which queries share a batch, and the independence of their outcomes."""

import asyncio
import time

import pytest

from recsys.errors import StageError
from service.recommend.batcher import RequestBatcher

pytestmark = pytest.mark.anyio


def later():
    return time.monotonic() + 60


class Batches:
    """A batcher with its started batches in `batches` and its finished queries; each batch waits for `gate`."""

    def __init__(self, max_batch=8, max_in_flight=1, run=None):
        self.batches, self.finished, self.gate = [], [], asyncio.Event()
        self._run = run or self.gate.wait
        self.batcher = RequestBatcher(self._batch, self.finished.append, max_batch, max_in_flight)

    async def _batch(self, queries):
        self.batches.append(list(queries))
        await self._run()

    def submit(self, *queries, deadline=None):
        """The task of a request."""
        return asyncio.create_task(self.batcher.submit(queries, deadline or later()))


async def test_a_lone_request_starts_at_once():
    """In the next turn of the event loop, without a timer."""
    made = Batches()
    task = made.submit("a")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert made.batches == [["a"]]
    made.gate.set()
    await task
    assert made.finished == ["a"]


@pytest.mark.parametrize("window", [0.001, 0.05])
async def test_requests_that_come_during_a_batch_share_the_next(window):
    """They start as soon as the batch ends, before the end of the window."""
    made = Batches()
    tasks = [made.submit(n) for n in range(6)]
    await asyncio.sleep(window)
    assert made.batches == [[0]]
    made.gate.set()
    await asyncio.gather(*tasks)
    assert made.batches == [[0], [1, 2, 3, 4, 5]]


async def test_a_full_batch_does_not_wait_for_the_window():
    """No batch is larger than allowed. The rest goes into the next batch."""
    made = Batches(max_batch=4, max_in_flight=2)
    tasks = [made.submit(n) for n in range(11)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert made.batches == [[0], [1, 2, 3, 4]]
    made.gate.set()
    await asyncio.gather(*tasks)
    assert sorted(map(len, made.batches)) == [1, 2, 4, 4]


async def test_each_query_has_its_own_deadline():
    """In a batch that hangs and in the queue behind it, a query is finished at its deadline, and no other query is."""
    made = Batches()
    calm, soon = made.submit("calm"), time.monotonic() + 0.05
    await asyncio.sleep(0)
    queued = made.submit("queued", deadline=soon)
    both = made.submit("late", "late too", deadline=soon)
    await asyncio.wait_for(asyncio.gather(queued, both), 5)
    assert sorted(made.finished) == ["late", "late too", "queued"]
    assert not made.batcher._waiting
    assert not calm.done()
    made.gate.set()
    await calm
    assert made.batches == [["calm"]]  # the others were finished before a batch could start


async def test_a_client_that_leaves_changes_nothing_for_others():
    """Before its batch starts and while it runs: the other queries are finished, and none is made for the client."""
    made = Batches()
    first, gone = made.submit("first"), made.submit("gone")
    rest = [made.submit("second"), made.submit("third")]
    await asyncio.sleep(0)
    gone.cancel()
    first.cancel()
    await asyncio.wait([first, gone])
    assert first.cancelled()
    assert gone.cancelled()
    made.gate.set()
    await asyncio.wait_for(asyncio.gather(*rest), 5)
    assert made.finished == ["second", "third"]
    assert made.batches == [["first"], ["second", "third"]]


@pytest.mark.parametrize(
    ("error", "raised"), [(RuntimeError("broken"), RuntimeError), (asyncio.CancelledError(), StageError)]
)
async def test_a_batch_that_breaks_fails_its_own_queries_only(error, raised):
    """Every request of the batch gets the error, also of a cancelled batch. The next batch runs."""

    async def breaks():
        await asyncio.sleep(0)
        if "bad" in made.batches[-1]:
            raise error

    made = Batches(run=breaks)
    found = await asyncio.gather(made.submit("first"), made.submit("bad"), made.submit("x"), return_exceptions=True)
    assert [type(each) for each in found] == [type(None), raised, raised]
    await asyncio.wait_for(made.submit("good"), 5)
    assert made.finished == ["first", "good"]
