"""What many users take now. A flow writes the items; the gateway adds them to every query."""

from __future__ import annotations

from recsys.retrieval.source import CandidateSource
from recsys.types import Source

SOURCE = CandidateSource("trending", Source.TRENDING, 0)
