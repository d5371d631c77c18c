"""The patches of private parts of BentoML."""

import subprocess
import sys

import pytest

CALLS = """
import asyncio
from bentoml._internal.marshal.dispatcher import CorkDispatcher
from service import bentoml_patches
{patch}

async def main():
    dispatcher = CorkDispatcher(max_latency_in_ms=60_000, max_batch_size=64, fallback=lambda: None, get_batch_size=len)

    async def answer(batch):
        await asyncio.sleep(0.002)
        return batch

    call = dispatcher(answer)
    for _ in range(40):
        await call([1])
    dispatcher.optimizer.wait = 5.0  # as after a pause
    dispatcher.optimizer.o_stat.extend([(1, 0.001, 5.0)] * 50)
    print(await asyncio.wait_for(call([1]), 2))  # None if the dispatcher drops the call

asyncio.run(main())
"""


def lone_call(patch):
    return subprocess.run(
        [sys.executable, "-c", CALLS.format(patch=patch)], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_lone_call_does_not_wait_as_long_as_batches_before_it():
    """BentoML alone waits until its dispatcher drops the call, as in the next test."""
    assert lone_call("bentoml_patches.dispatch_at_once()").stdout == "[1]\n"


ARBITER = """
from bentoml._internal.utils import circus
from service import bentoml_patches
{patch}
made = circus.create_standalone_arbiter([])
print(made.endpoint, made.pubsub_endpoint, made.check_delay, made.ctrl.endpoint, made.ctrl.check_delay)
"""


def arbiter(patch):
    code = ARBITER.format(patch=patch)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_the_process_manager_has_no_port_and_checks_each_second():
    """BentoML alone gives it two ports of loopback, and it checks every ten seconds."""
    printed = arbiter("bentoml_patches.supervise(1.0)").stdout
    assert printed == "inproc://circus-control inproc://circus-events 1.0 inproc://circus-control 1000.0\n"


@pytest.mark.parametrize(
    "change",
    [
        "circus.Arbiter.__base__.__init__ = lambda self, *args, **options: None",
        "circus.create_standalone_arbiter = lambda watchers: circus.Arbiter(watchers, 'tcp://127.0.0.1:0', 'tcp://127.0.0.1:0')",
    ],
)
def test_another_process_manager_is_not_patched(change):
    """If BentoML starts circus in another way, a warning is logged and BentoML's own values apply."""
    run = arbiter(f"{change}\nbentoml_patches.supervise(1.0)")
    assert "takes commands on a port of this machine" in run.stderr
    assert "inproc" not in run.stdout
