"""Stands on the PYTHONPATH of a deployment that is to leak: each call of ranking keeps what it should let go.

TANDEM_LEAK_KIB says how much memory, TANDEM_LEAK_DESCRIPTORS how many file descriptors; without them nothing leaks.
"""

import importlib.abc
import importlib.util
import os
import sys

KIB = int(os.environ.get("TANDEM_LEAK_KIB", "0"))
DESCRIPTORS = int(os.environ.get("TANDEM_LEAK_DESCRIPTORS", "0"))
KEPT = []


class Leak(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports `service.backends.models` as ever, and wraps what it holds."""

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
        rank = module.RankingModel.rank

        def leaking(*arguments):
            KEPT.append(bytearray(b"x") * (KIB << 10))
            KEPT.extend(os.dup(2) for _ in range(DESCRIPTORS))
            return rank(*arguments)

        module.RankingModel.rank = leaking


sys.meta_path.insert(0, Leak())
