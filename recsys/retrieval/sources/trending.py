"""The candidate source `trending`: the items with the most events of several users in the last 24 hours.

The source has no finder: a batch job writes the items to Redis, and the gateway, the server that takes requests, adds
them to every query.
"""

from __future__ import annotations

from recsys.retrieval.source import CandidateSource
from recsys.types import Source

SOURCE = CandidateSource("trending", Source.TRENDING, 0)
