"""Stands on the PYTHONPATH of a deployment whose requests gather for a fixed time, to measure the pace that adapts.

PEER_GATHER_MS says how long one dispatch keeps from the last, however busy the process is.
"""

import os

from service.pace import Pace

SECONDS = float(os.environ["PEER_GATHER_MS"]) / 1000

Pace.seconds = lambda *_: SECONDS  # type: ignore[method-assign]
