"""Training without torch's compiler: its optimisers import it, 2.5 s of CPU, to tell it to leave their steps alone."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

NAME = "torch._dynamo"


class Absent(ModuleType):
    """In the compiler's place while nothing is compiled; whoever asks it for more has the real one imported."""

    def __init__(self) -> None:
        super().__init__(NAME)

    @staticmethod
    def disable(function: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        """The function as it is."""
        return function

    @staticmethod
    def graph_break() -> None:
        """Nothing: there is no graph."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # whoever looks through all modules wants nothing of this one
            raise AttributeError(name)
        self.leave()
        return getattr(importlib.import_module(NAME), name)

    def enter(self) -> None:
        """Be what `import` finds."""
        sys.modules[NAME] = self
        setattr(torch, "_dynamo", self)  # noqa: B010  # mypy holds it to the real one's type

    def leave(self) -> None:
        """Be no more, if it still is."""
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME]
        if vars(torch).get("_dynamo") is self:
            delattr(torch, "_dynamo")


@contextmanager
def uncompiled() -> Iterator[None]:
    """Have optimisers do without the compiler; nothing changes where it was imported already."""
    if NAME in sys.modules:
        yield
        return
    absent = Absent()
    absent.enter()
    try:
        yield
    finally:
        absent.leave()
