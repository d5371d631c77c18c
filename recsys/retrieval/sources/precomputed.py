"""The user's list, which a flow made before the request. The gateway reads the list from the store."""

from __future__ import annotations

from recsys.retrieval.source import CandidateSource
from recsys.types import Source

SOURCE = CandidateSource("precomputed", Source.PRECOMPUTED, 0)
