"""Run a module as `python -m` would, with a forkserver beside it: `python -m service.launch bentoml serve ...`.

BentoML reads the services before it starts their workers, for 4 s: what those need is imported meanwhile.
"""

from __future__ import annotations

import runpy
import sys

from service.forking import SERVER

if __name__ == "__main__":
    SERVER.begin()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
