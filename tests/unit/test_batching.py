"""BentoML's dispatcher, as retrieval and ranking have it."""

import subprocess
import sys

CALLS = """
import asyncio
from bentoml._internal.marshal.dispatcher import CorkDispatcher
from service import batching
{patch}

async def main():
    asked = CorkDispatcher(max_latency_in_ms=60_000, max_batch_size=64, fallback=lambda: None, get_batch_size=len)

    async def answer(batch):
        await asyncio.sleep(0.002)
        return batch

    call = asked(answer)
    for _ in range(40):
        await call([1])
    asked.optimizer.wait = 5.0  # as after a pause
    asked.optimizer.o_stat.extend([(1, 0.001, 5.0)] * 50)
    print(await asyncio.wait_for(call([1]), 2))  # None where it is given up

asyncio.run(main())
"""


def lone_call(patch):
    return subprocess.run(
        [sys.executable, "-c", CALLS.format(patch=patch)], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_lone_call_waits_for_nobody_though_others_did_before():
    """However long batches waited of late; as it comes, BentoML would have the call wait for as long as they did."""
    assert lone_call("batching.dispatch_at_once()").stdout == "[1]\n"
    assert lone_call("").stdout == "None\n"
