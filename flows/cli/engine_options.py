"""The options `--dask` and `--memory` of `python -m flows`: on which processes the data work of a flow is done."""

from __future__ import annotations

import argparse
import os

from recsys.environment import Environment
from training.processes.engine import Cluster


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command."""
    parser.add_argument(
        "--dask",
        metavar="N|ADDRESS",
        help="do the data work on N Dask workers of this machine, or on a cluster such as tcp://scheduler:8786; "
        "default: TANDEM_DASK, or in the flow's process",
    )
    parser.add_argument(
        "--memory", metavar="SIZE", help="of each worker of this machine, such as 3GiB; default: TANDEM_DASK_MEMORY"
    )


def use_engine(options: argparse.Namespace) -> None:
    """Set the variables that the flow reads. SettingsError for a wrong value, before Prefect starts."""
    for variable, value in (("TANDEM_DASK", options.dask), ("TANDEM_DASK_MEMORY", options.memory)):
        if value is not None:
            os.environ[variable] = value
    Cluster.of(Environment.read())
