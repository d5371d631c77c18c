"""Load trained models for serving, and check that they repeat the answers to test queries stored at training.

A generation is one trained set of models and tables: the retriever finds candidate items, and the ranker scores them.
A damaged generation, or one mixed from two trainings, is refused before it serves a request.
"""

from __future__ import annotations

from recsys.generation import content_checks
from recsys.generation.content_checks import readable
from recsys.generation.manifest import GenerationFolder
from recsys.generation.smoke_queries import SmokeQueries
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever


def load_retriever(folder: GenerationFolder) -> Retriever:
    """The retriever; GenerationError if it does not find the candidates of the smoke queries with their scores."""
    with readable(folder.manifest.id):
        retriever = Retriever.load(folder)
        SmokeQueries.load(folder.path).check_retrieval(retriever)
    return retriever


def load_ranker(folder: GenerationFolder) -> Ranker:
    """The ranker; GenerationError if it does not give the scores of the smoke queries."""
    with readable(folder.manifest.id):
        ranker = Ranker.load(folder)
        SmokeQueries.load(folder.path).check_ranking(ranker)
    return ranker


def check_servable(folder: GenerationFolder) -> None:
    """GenerationError names the reason if a verified generation can't be served."""
    content_checks.check(folder)
    load_retriever(folder)
    load_ranker(folder)
