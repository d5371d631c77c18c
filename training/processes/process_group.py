"""Training on several processes: `torchrun --nproc-per-node 2 -m flows run` or `-m training evaluate` starts them.

The process of rank 0 runs the command. The other ranks wait for a fit of the towers or of the ranker, take part in it
and wait for the next, until rank 0 ends. Without torchrun the world has one rank, and nothing is exchanged.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined] # documented, without __all__
from torch.nn.utils import parameters_to_vector, vector_to_parameters

T = TypeVar("T")

WAIT = timedelta(days=1)
"""The limit of a wait for another rank: rank 0 works alone between two fits. A killed rank ends each wait at once."""

Part = tuple[Callable[..., object], tuple[Any, ...]]
"""What another rank does of a fit: a function and its arguments."""


def world_size() -> int:
    """The number of ranks; 1 without torchrun."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process; 0 without torchrun."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_size() -> int:
    """The number of ranks on this host, which share its cores and GPUs."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if dist.is_initialized() else 1


@contextmanager
def joined() -> Iterator[bool]:
    """Whether this process runs the command. False: another rank, which took part in all fits before the block."""
    if not dist.is_torchelastic_launched():
        yield True
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a handler in Python would run after a wait in C++
    _init_process_group()
    if rank() > 0:
        _take_parts()
    signal.signal(signal.SIGTERM, before)
    yield rank() == 0
    for other in range(1, world_size() if rank() == 0 else 1):
        dist.send_object_list([None], other)
    dist.destroy_process_group()


def _init_process_group() -> None:
    """Connect the ranks, and give each the GPU of its number on the host.

    torchrun keeps one store over all restarts, in which a rank would find the addresses of killed ranks
    (pytorch/pytorch#135712). On one host the number of restarts divides the store. Several hosts count restarts apart:
    there TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 makes a store for each start.
    """
    env, own = os.environ, dict[str, Any]()
    if env["LOCAL_WORLD_SIZE"] == env["WORLD_SIZE"] and env["TORCHELASTIC_USE_AGENT_STORE"] == "True":
        store = TCPStore(env["MASTER_ADDR"], int(env["MASTER_PORT"]), is_master=False)
        divided = PrefixStore(env["TORCHELASTIC_RESTART_COUNT"], store)
        own = {"store": divided, "rank": int(env["RANK"]), "world_size": int(env["WORLD_SIZE"])}
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=WAIT, **own)
    local = int(env["LOCAL_RANK"])
    if local < torch.cuda.device_count():
        torch.cuda.set_device(local)


def _take_parts() -> None:
    """Take part in fits until rank 0 ends the command. SystemExit if rank 0 fails.

    With exit code 0 torchrun on another host would not start this rank again.
    """
    while True:
        part: list[Any] = [None]
        with _killed_rank_in_one_sentence():
            dist.recv_object_list(part, 0)
            if part[0] is None:
                return
            threads, (take_part, arguments) = part[0]
            torch.set_num_threads(threads)
            take_part(*arguments)


@contextmanager
def _killed_rank_in_one_sentence() -> Iterator[None]:
    """SystemExit where another rank has ended: Prefect counts the run as crashed, and starts a deployment's run again.

    gloo's errors are plain RuntimeErrors with the path of gloo's code.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        sys.exit(f"tandem: rank {rank()} stops, because another process of this training has ended: {error}")


@contextmanager
def together(part: Callable[[int], Part]) -> Iterator[None]:
    """A fit on all ranks; rank 0 does its part in the block. part: that of each other rank.

    The ranks of a host share the threads of torch. SystemExit where another rank is killed.
    """
    threads = torch.get_num_threads()
    each = max(1, threads // local_size())
    torch.set_num_threads(each)
    try:
        with _killed_rank_in_one_sentence():
            for other in range(1, world_size()):
                dist.send_object_list([(each, part(other))], other)
            yield
    finally:
        torch.set_num_threads(threads)


def share(count: int) -> int:
    """A rank's share of a number of rows, rounded up."""
    return -(-count // world_size())


def broadcast(value: T) -> T:
    """The value of rank 0, on each rank."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, 0)
    return box[0]


def total(value: float) -> float:
    """The sum of the values of all ranks."""
    if world_size() == 1:
        return value
    tensor = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(tensor)
    return float(tensor)


def add_up(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over the ranks, in one exchange."""
    if world_size() > 1:
        flat = parameters_to_vector(tensors)
        dist.all_reduce(flat)
        vector_to_parameters(flat, tensors)


def gathered(rows: Tensor) -> Tensor:
    """The rows of all ranks, in the order of the ranks. Each rank may have another number of rows."""
    if world_size() == 1:
        return rows
    sizes = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(world_size())]
    dist.all_gather(sizes, torch.tensor([len(rows)], device=rows.device))
    longest = max(int(size) for size in sizes)
    padded = torch.cat([rows, rows.new_zeros(longest - len(rows), *rows.shape[1:])])
    parts = [torch.empty_like(padded) for _ in range(world_size())]
    dist.all_gather(parts, padded)
    return torch.cat([part[: int(size)] for part, size in zip(parts, sizes, strict=True)])
