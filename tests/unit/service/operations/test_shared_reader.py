"""Reads of the stored state: a store that does not answer costs one thread, however many pages are open."""

import asyncio
import threading

import pytest

from recsys.errors import StoreError
from service.operations import shared_reader
from service.operations.shared_reader import SharedReader
from service.operations.stored_state import StoredState


class SlowReader:
    """A reader that answers when it is released."""

    def __init__(self):
        self.reads, self.released = 0, threading.Event()

    def read(self, now):
        self.reads += 1
        assert self.released.wait(10)
        if self.reads == 1:
            raise StoreError("It is away.")
        return StoredState([], [], [], None)

    def close(self):
        pass


def test_pages_share_one_read_of_a_slow_store(monkeypatch):
    """Polls that time out start no second read; the result is shared, and the next read is new."""
    monkeypatch.setattr(shared_reader, "STORE_SECONDS", 0.05)
    slow = SlowReader()

    async def polls():
        shared = SharedReader(slow)
        for _ in range(3):
            results = await asyncio.gather(*(shared.read() for _ in range(4)), return_exceptions=True)
            assert {type(each) for each in results} == {TimeoutError}
        slow.released.set()
        with pytest.raises(StoreError):
            await shared.read()
        assert slow.reads == 1
        await asyncio.sleep(shared_reader.KEPT_SECONDS)
        assert await shared.read() is await shared.read()
        shared.close()
        return slow.reads

    assert asyncio.run(polls()) == 2
