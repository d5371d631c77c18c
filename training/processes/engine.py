"""The engine of a run: which processes do the work that is split into parts, such as the row groups of a large log.

`LocalEngine` calls a function for each part in this process. `DaskEngine` calls it on the workers of a Dask cluster.
Dask is an extra, which is imported only where TANDEM_DASK is set.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from recsys.environment import Environment, size_of
from recsys.errors import SettingsError
from training.processes.shared_file import read_shared, shared_file
from training.progress import StepProgress, no_step

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger("tandem")

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")

LEAST_MEMORY = 1 << 30
"""Bytes of a worker, at least. With 512 MiB workers were paused and restarted on a shop of 8,000 events."""

CONNECT_SECONDS = 10
"""To connect to the scheduler of a cluster, and to wait for its first worker."""

WAITS = {
    "distributed.comm.timeouts.tcp": "300s",
    "distributed.comm.timeouts.connect": "120s",
    "distributed.deploy.lost-worker-timeout": "300s",
    "distributed.scheduler.no-workers-timeout": "300s",
}
"""How long Dask waits: for a byte of a worker, for a connection, for the start of a killed worker, and for any worker.

On a busy machine a start takes longer than Dask's 15 s, after which the cluster closes the worker for good. By default
a run whose workers can't start waits for ever.
"""

PARTS_A_WORKER = 2
"""Parts of each worker that are computed or wait: one more than is computed, so that no worker waits for the caller."""


class Engine(Protocol):
    """Calls a function for each part of some work."""

    def map(self, function: Callable[[P], R], parts: Sequence[P], progress: StepProgress = no_step) -> Generator[R]:
        """The results in the order of the parts. An error of the function is raised as it is.

        function: of a module, with small parts such as paths and ranges; it may run twice for a part if a worker is
        lost. A result has to fit into the memory of this process. A caller may stop early.
        """
        ...

    def map_shared(
        self, function: Callable[[T, P], R], shared: T, parts: Sequence[P], progress: StepProgress = no_step
    ) -> Iterator[R]:
        """As `map`, of a function whose first argument is a large object that all parts read."""
        ...

    def with_access_to(self, location: str) -> Engine:
        """The engine itself, or LOCAL if one of its processes does not find a local file or folder.

        location: a path, or the URL of a bucket, which all processes are taken to reach.
        """
        ...


class LocalEngine:
    """Calls the function in this process, for one part after the other."""

    def map(self, function: Callable[[P], R], parts: Sequence[P], progress: StepProgress = no_step) -> Generator[R]:
        """As `Engine` describes."""
        for done, part in enumerate(parts, 1):
            result = function(part)
            progress(done / len(parts), f"part {done:,} of {len(parts):,}")
            yield result

    def map_shared(
        self, function: Callable[[T, P], R], shared: T, parts: Sequence[P], progress: StepProgress = no_step
    ) -> Iterator[R]:
        """As `Engine` describes."""
        return self.map(partial(function, shared), parts, progress)

    def with_access_to(self, location: str) -> Engine:  # noqa: ARG002 Engine
        """As `Engine` describes."""
        return self


LOCAL = LocalEngine()


class DaskEngine:
    """Calls the function on the workers of a cluster. Dask computes the parts of a lost worker again."""

    def __init__(self, client: Client, folder: Path) -> None:
        """folder: for the objects of `map_shared`."""
        self._client, self._folder = client, folder

    def map(self, function: Callable[[P], R], parts: Sequence[P], progress: StepProgress = no_step) -> Generator[R]:
        """As `Engine` describes. At most PARTS_A_WORKER parts of each worker are in the cluster at once."""
        waiting: deque[Future[Any]] = deque()
        left = iter(parts)
        try:
            for done in range(1, len(parts) + 1):
                room = PARTS_A_WORKER * self._threads() - len(waiting)
                waiting.extend(self._client.submit(function, part, pure=False) for part in islice(left, max(0, room)))
                result = _result(waiting.popleft())
                progress(done / len(parts), f"part {done:,} of {len(parts):,}")
                yield result
        finally:
            self._client.cancel([*waiting])

    def _threads(self) -> int:
        """The threads of all workers, at least 1 while workers start again."""
        with _calling_scheduler():
            threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def map_shared(
        self, function: Callable[[T, P], R], shared: T, parts: Sequence[P], progress: StepProgress = no_step
    ) -> Iterator[R]:
        """As `Engine` describes. This process computes the parts if a worker does not reach the folder."""
        with shared_file(shared, self._folder) as path:
            if self.with_access_to(str(path)) is self:
                yield from self.map(partial(_with_shared, function, path), parts, progress)
                return
        yield from LOCAL.map_shared(function, shared, parts, progress)

    def with_access_to(self, location: str) -> Engine:
        """As `Engine` describes."""
        if "://" in location:
            return self
        with _calling_scheduler():
            found = self._client.run(os.path.exists, location)
        if all(found.values()):
            return self
        logger.warning("A Dask worker does not reach %s: this process computes the parts.", Path(location).parent)
        return LOCAL


LOST = "The Dask scheduler was lost. Start the cluster, then run this again."


@contextmanager
def _calling_scheduler() -> Iterator[None]:
    """Call the scheduler; SettingsError if it is lost."""
    try:
        yield
    except OSError as error:
        raise SettingsError(LOST) from error


def _with_shared(function: Callable[[Any, P], R], path: Path, part: P) -> R:
    return function(read_shared(path), part)


def _result(future: Future[Any]) -> Any:
    """The result of a part. SettingsError if the cluster can't compute it."""
    from distributed import CancelledError, KilledWorker
    from distributed.scheduler import NoValidWorkerError, NoWorkerError

    try:
        return future.result()
    except KilledWorker as error:
        raise SettingsError(
            f"A part of the work ended {error.allowed_failures + 1} Dask workers, most likely for lack of memory. Set "
            "TANDEM_DASK_MEMORY (--memory) higher, or give the workers of the cluster more memory."
        ) from error
    except (NoWorkerError, NoValidWorkerError) as error:
        raise SettingsError("No Dask worker is left. Start workers, then run this again.") from error
    except CancelledError as error:
        raise SettingsError(LOST) from error
    except FileNotFoundError as error:  # of a worker that joined later; `with_access_to` checked the others
        raise SettingsError(
            f"A Dask worker does not find {error.filename}. Start all workers where the dataset and TANDEM_HOME have "
            "the same paths, then run this again."
        ) from error
    except (ModuleNotFoundError, RuntimeError) as error:
        missing = error if isinstance(error, ModuleNotFoundError) else error.__cause__  # the latter: of the scheduler
        if not isinstance(missing, ModuleNotFoundError):
            raise
        raise SettingsError(
            f"The Dask scheduler or a worker lacks the module {missing.name}. Start both with Tandem's code "
            "(PYTHONPATH) and requirements."
        ) from error


@dataclass(frozen=True, slots=True)
class Cluster:
    """The Dask cluster that TANDEM_DASK states. workers: of this machine, 0 if `address` names a cluster's scheduler.

    memory: bytes of each worker of this machine; None: an equal share of the machine's memory.
    """

    workers: int = 0
    address: str = ""
    memory: int | None = None

    @classmethod
    def of(cls, environment: Environment) -> Cluster | None:
        """The cluster of the settings, None without one. SettingsError for a wrong value, or without the extra."""
        stated, memory = environment.dask.strip(), size_of(environment.dask_memory, "TANDEM_DASK_MEMORY")
        own = re.fullmatch(r"[1-9]\d{0,2}", stated)
        if memory is not None and not own:
            raise SettingsError(
                "TANDEM_DASK_MEMORY (--memory) is of workers that TANDEM_DASK (--dask) starts on this machine. Set "
                "TANDEM_DASK to their number, or unset TANDEM_DASK_MEMORY."
            )
        if memory is not None and memory < LEAST_MEMORY:
            raise SettingsError(f"TANDEM_DASK_MEMORY is {environment.dask_memory}. A worker needs 1GiB at least.")
        if not stated:
            return None
        if not own and not re.fullmatch(r"(tcp|tls)://[^/\s]+:\d+", stated):
            raise SettingsError(
                f"TANDEM_DASK (--dask) is {stated[:64]!r}. Write a number of workers from 1 to 999, or the address of "
                "a scheduler such as tcp://scheduler:8786."
            )
        try:
            import distributed  # noqa: F401 the extra
        except ImportError as error:
            raise SettingsError(
                "TANDEM_DASK is set, and Dask is not installed. Install it with: pip install distributed."
            ) from error
        return cls(int(stated), memory=memory) if own else cls(address=stated)


@contextmanager
def open_engine(environment: Environment) -> Iterator[Engine]:
    """The engine that the settings state. Workers of this machine end with the block.

    SettingsError for a wrong setting, or if no scheduler or worker answers.
    """
    if (cluster := Cluster.of(environment)) is None:
        yield LOCAL
        return
    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.WARNING)  # Prefect's handlers print all that a logger passes on
    folder = environment.folder("dask")
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(WAITS))
        try:
            if cluster.address:
                asyncio.run(_reach(cluster.address))
            address: Any = cluster.address or stack.enter_context(
                LocalCluster(
                    n_workers=cluster.workers,
                    threads_per_worker=1,
                    memory_limit=cluster.memory or "auto",
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    local_directory=str(folder),  # what a worker spills
                )
            )
            client = stack.enter_context(Client(address, timeout=CONNECT_SECONDS))
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, MemoryError) as error:  # of memory: an HTTP answer is read as a length
            where = cluster.address or "this machine"
            raise SettingsError(
                f"No Dask scheduler with a worker answers at {where} within {CONNECT_SECONDS} s. Check TANDEM_DASK "
                "(--dask), and start a worker: dask worker ADDRESS."
            ) from error
        yield DaskEngine(client, folder)


async def _reach(address: str) -> None:
    """TimeoutError if no scheduler answers. `Client` waits for ever at a port that accepts and does not answer."""
    from distributed.comm import connect  # type: ignore[attr-defined] # documented, without __all__
    from distributed.security import Security

    security = Security().get_connection_args("client")
    comm = await asyncio.wait_for(connect(address, timeout=CONNECT_SECONDS, **security), CONNECT_SECONDS)
    await comm.close()
