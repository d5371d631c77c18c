"""Slows the retrieval and ranking models of a service that has this folder on its PYTHONPATH, for tests of deadlines.

Python imports a `sitecustomize` module at its start. TANDEM_BRAKES names a folder. Its files `retrieval` and `ranking`
hold the seconds by which each call is delayed. The file `arm` holds a generation and the seconds by which the gateway's
calls of ranking for that generation are delayed; other calls go on meanwhile.
"""

import asyncio
import contextlib
import importlib.abc
import importlib.util
import os
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ.get("TANDEM_BRAKES", "/nonexistent"))


class Brakes(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a module, and changes it."""

    def __init__(self, module, change):
        self.module, self.change = module, change

    def find_spec(self, name, path, target=None):
        if name != self.module:
            return None
        sys.meta_path.remove(self)
        found = importlib.util.find_spec(name)
        self._loader, found.loader = found.loader, self
        return found

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        self.change(module)


def slow_models(module):
    module.RetrievalModel.retrieve = slowed(module.RetrievalModel.retrieve, "retrieval")
    module.RankingModel.rank = slowed(module.RankingModel.rank, "ranking")


def slow_arm(module):
    run = module.RankingScorer.run

    async def delayed(stage, queries):
        with contextlib.suppress(OSError, ValueError):
            generation, seconds = (FOLDER / "arm").read_text().split()
            if queries[0].generation.id == generation:
                await asyncio.sleep(float(seconds))
        return await run(stage, queries)

    module.RankingScorer.run = delayed


def slowed(method, name):
    def call(*arguments):
        with contextlib.suppress(OSError, ValueError):
            time.sleep(float((FOLDER / name).read_text()))
        return method(*arguments)

    return call


sys.meta_path[:0] = [Brakes("service.backends.models", slow_models), Brakes("service.recommend.stages", slow_arm)]
