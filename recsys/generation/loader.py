"""From a folder on disk to something that serves, tried with the generation's own queries.

Whatever is wrong with a generation is found here, before it is named or a request meets it. Knows no store.
"""

from __future__ import annotations

from recsys.generation import soundness
from recsys.generation.manifest import GenerationFolder
from recsys.generation.smoke_queries import SmokeQueries
from recsys.generation.soundness import readable
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever


def load_retriever(folder: GenerationFolder) -> Retriever:
    """The retriever of a sound generation; GenerationError where it does not find what it found when it was made."""
    with readable(folder.manifest.id):
        retriever = Retriever.load(folder)
        SmokeQueries.load(folder.path).check_retrieval(retriever)
    return retriever


def load_ranker(folder: GenerationFolder) -> Ranker:
    """The ranker of a sound generation; GenerationError where it scores otherwise than when it was made."""
    with readable(folder.manifest.id):
        ranker = Ranker.load(folder)
        SmokeQueries.load(folder.path).check_ranking(ranker)
    return ranker


def try_out(folder: GenerationFolder) -> None:
    """Return if a verified generation could serve; GenerationError says why it could not."""
    soundness.check(folder)
    load_retriever(folder)
    load_ranker(folder)
