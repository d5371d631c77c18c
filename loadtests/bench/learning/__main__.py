"""`python -m loadtests.bench.learning [1M]`: the time that a training takes for collected impressions, which are items
shown, and what the correction of the position bias is worth.

A made-up deployment shows slates of 20 items in a bad order; users take by taste and by place. The figures are NDCG@10
on fresh queries without places, of rankers trained on a log that lacks half of the taste.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from loadtests.bench.learning.shown_world import PLACES, ShownWorld, queries
from loadtests.options import count
from recsys.model.ranker import RankerNet
from training.config import TrainingConfig, small
from training.data.impressions import ShownItems, WantedSlates, read
from training.ranker.examples import Examples
from training.ranker.fit_net import fit_net
from training.ranker.shown_slates import ShownSlates
from training.ranker.simple_orders import scores
from training.ranker.with_impressions import fit_with_impressions, slate_ndcg
from training.recipe import use_threads

LOG_QUERIES, CANDIDATES = 5_000, 200


def main() -> None:
    """Write the slates, train with and without them, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.learning", description=__doc__)
    parser.add_argument("shown", nargs="?", type=count(PLACES, 10**9), default=10**6, help="items shown; default: 1M")
    world, config = ShownWorld(parser.parse_args().shown // PLACES), small()
    use_threads(config)
    examples, truth = queries(LOG_QUERIES, CANDIDATES, 1, known=True), queries(5_000, 20, 2, known=False)
    table = Table(
        "ranker trained on",
        "NDCG@10",
        "seconds",
        title=f"{world.slates * PLACES:,} impressions in {world.slates:,} slates",
    )
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as folder:
        files = [*world.write(Path(folder))]
        start = time.monotonic()
        wanted = WantedSlates("shown", lambda _: 1.0, world.end, config.ranker.queries)
        shown = read(reversed(files), wanted)
        seconds = time.monotonic() - start
    table.add_row(f"(reading: {len(shown):,} slates with a taken item)", "", f"{seconds:.1f}")
    start = time.monotonic()
    alone = fit_alone(examples, config)
    table.add_row("the log", figure(alone, truth), f"{time.monotonic() - start:.1f}")
    uncorrected = replace(shown, drawn=pd.DataFrame(shown.drawn[:0]))
    for name, found in (("log and slates", uncorrected), ("the same, position bias corrected", shown)):
        net, seconds = fit(alone, examples, found, world, config)
        table.add_row(name, figure(net, truth), f"{seconds:.1f}")
    Console().print(table)


def fit_alone(examples: Examples, config: TrainingConfig) -> RankerNet:
    """The ranker without slates."""
    torch.manual_seed(config.seed)
    return fit_net([examples], config.ranker, np.random.default_rng(config.seed))


def fit(
    alone: RankerNet, examples: Examples, shown: ShownItems, world: ShownWorld, config: TrainingConfig
) -> tuple[RankerNet, float]:
    """The ranker with slates, and the seconds of its training and of the comparison."""
    net, found = fit_with_impressions(alone, examples, ShownSlates(shown, world.end), config)
    print(found.sentence, file=sys.stderr)
    return net, found.seconds


def figure(net: RankerNet, truth: Examples) -> str:
    """NDCG@10 on queries without places."""
    return f"{slate_ndcg(truth, scores(net, truth.x)).mean():.4f}"


if __name__ == "__main__":
    main()
