"""Slows the retrieval and ranking models of a service that has this folder on its PYTHONPATH, for tests of deadlines.

Python imports a `sitecustomize` module at its start. TANDEM_BRAKES names a folder. Its files `retrieval` and `ranking`
hold the seconds by which each call is delayed.
"""

import contextlib
import importlib.abc
import importlib.util
import os
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ.get("TANDEM_BRAKES", "/nonexistent"))


class Brakes(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports `service.backends.models`, and wraps the calls of both models."""

    def find_spec(self, name, path, target=None):
        if name != "service.backends.models":
            return None
        sys.meta_path.remove(self)
        found = importlib.util.find_spec(name)
        self._loader, found.loader = found.loader, self
        return found

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        module.RetrievalModel.retrieve = slowed(module.RetrievalModel.retrieve, "retrieval")
        module.RankingModel.rank = slowed(module.RankingModel.rank, "ranking")


def slowed(method, name):
    def call(*arguments):
        with contextlib.suppress(OSError, ValueError):
            time.sleep(float((FOLDER / name).read_text()))
        return method(*arguments)

    return call


sys.meta_path.insert(0, Brakes())
