"""Runs `python -m flows` commands one after another in one process, which imports PyTorch, Numba and Prefect once.

`FlowWorker` starts the process, and `python -m training.simulation.flow_worker` is the process. Training never imports
the flows: this module starts them as a command does.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from recsys.errors import TandemError
from recsys.process import parent_death
from training.ranker import position_bias

ROOT = Path(__file__).parents[2]

UNMEASURED = sys.maxsize
"""In place of `position_bias.FEWEST`: no log has so many taken items, so that no position bias is corrected."""


class FlowFailed(TandemError):
    """A command of the flows failed."""


class FlowWorker:
    """A process that runs commands of the flows. variables: of its environment, for all commands."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        """folder: for Prefect's state and the log of the process."""
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "flows.log"
        own = {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_LOGGING_TO_API_ENABLED": "false"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __spec__.name],
                cwd=ROOT,
                env=inherited() | own | variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                preexec_fn=parent_death.preexec(),
            )

    def run(self, home: Path, *arguments: str, corrected: bool = True) -> dict[str, Any]:
        """Run a command with `--json` on the store and the files of a home, and return what it printed.

        corrected: whether trainings correct the position bias. The value has `error` where the command failed with a
        sentence. FlowFailed if the process ended.
        """
        task = {"home": str(home), "arguments": [*arguments, "--json"], "corrected": corrected}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(task), file=self._process.stdin, flush=True)
        if not (line := self._process.stdout.readline()):
            raise FlowFailed(f"`flows {' '.join(arguments)}` ended its process. {self._log} has the reason.")
        found: dict[str, Any] = json.loads(line)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # ends the process after its command
        self._process.wait()


def inherited() -> dict[str, str]:
    """The environment without settings of Tandem, Redis and Prefect; one thread for each process of a proof."""
    others = {name: text for name, text in os.environ.items() if not name.startswith(("TANDEM_", "REDIS_", "PREFECT_"))}
    return others | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}


def main() -> None:
    """Run the commands of stdin, one on each line, and print the result of each on one line."""
    run = importlib.import_module("flows.__main__").main
    answers, fewest = sys.stdout, position_bias.FEWEST
    for line in sys.stdin:
        print(json.dumps(_result(run, json.loads(line), fewest)), file=answers, flush=True)


def _result(run: Any, task: Mapping[str, Any], fewest: int) -> dict[str, Any]:
    arguments: Sequence[str] = task["arguments"]
    os.environ["TANDEM_HOME"] = task["home"]
    position_bias.FEWEST = fewest if task["corrected"] else UNMEASURED
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = run(arguments)
    found: dict[str, Any] = json.loads(printed.getvalue())
    assert bool(code) == ("error" in found), arguments
    return found


if __name__ == "__main__":
    main()
