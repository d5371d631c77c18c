"""The four modes between which the advisor chooses, in order of their work at a request, and what each one needs."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

ServedMode = Literal["batch", "hybrid", "realtime"]
"""A mode of a request and of `surfaces.toml`."""


class Mode(StrEnum):
    """When the parts of an answer are made.

    batch: a stored list, made for all users each day or so. micro-batch: a stored list, made again some minutes after a
    user's events. hybrid: the items of a stored list, ranked at the request. realtime: everything at the request.
    """

    BATCH = "batch"
    MICRO_BATCH = "micro-batch"
    HYBRID = "hybrid"
    REALTIME = "realtime"

    @property
    def served(self) -> ServedMode:
        """The mode of requests. In micro-batch, `flows refresh` updates the lists that the mode batch serves."""
        return "batch" if self is Mode.MICRO_BATCH else self.value  # type: ignore[return-value]
