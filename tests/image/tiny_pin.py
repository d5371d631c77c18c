"""Trains tiny models for the image test and pins them, so that the next bento (BentoML's package) contains them.

`python -m tests.image.tiny_pin HOME` writes them below HOME.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flows.operate.model_store import ModelStore
from recsys.environment import Environment
from tests.sample_data import tiny

if __name__ == "__main__":
    home = Path(sys.argv[1])
    folder, _ = tiny.generation(home)  # into HOME/generations, where a flow leaves what it makes
    print(ModelStore(Environment(home, None)).pin(folder.path.name))
