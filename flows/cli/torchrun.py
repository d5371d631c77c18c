"""Run a scheduled training on the processes of torchrun, as the `command` of a Prefect process work pool:
`torchrun --standalone --nproc-per-node 2 -m flows.cli.torchrun`.

The process of rank 0 is Prefect's engine, which executes the flow run. The other ranks take part in its fits.
"""

from __future__ import annotations

import runpy

from training.processes import process_group

if __name__ == "__main__":
    with process_group.joined() as runs:
        if runs:
            runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
