"""The ranker learns from slates that users were shown: which slates count, the position bias, and which net serves."""

import time

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from recsys.model.features import FEATURES
from recsys.user_digest import digest_of
from tests.sample_data.shown_slates import PLACES, WAIT, slates, take, write
from training.config import RankerConfig, TrainingConfig
from training.rank.examples import Examples
from training.rank.fit_net import fit_net, scores
from training.rank.shown_slates import PositionBias, ShownSlates, measure, slate_examples
from training.rank.with_impressions import fit_with_impressions
from training.read import impressions
from training.read.impressions import COLUMNS, WantedSlates

START, TEST = 1_700_000_000.0, 1_700_900_000.0
TASTE = COLUMNS[3]
"""A feature of the made-up slates."""

CONFIG = TrainingConfig(ranker=RankerConfig(epochs=2), threads=1)


def read(*files, most=100_000, **more):
    """The slates of a dataset `ring` where each event type has the grade 1, purchases 4."""
    wanted = WantedSlates("ring", lambda name: 4.0 if name == "purchase" else 1.0, TEST, most, **more)
    return impressions.read(files, wanted)


def log_examples(count=300, seed=9):
    """Queries of a log whose users take the candidate with the largest TASTE."""
    x = np.random.default_rng(seed).uniform(-1, 1, (count, 20, len(FEATURES))).astype(np.float32)
    values = x[..., COLUMNS.index(TASTE)]
    answer = values == values.max(axis=1, keepdims=True)
    return Examples(x, answer, np.ones_like(answer), np.ones(count, np.float32))


def net_of(*sets):
    """A net trained on examples."""
    torch.manual_seed(0)
    return fit_net(sets, CONFIG.ranker, np.random.default_rng(0))


def everything(shown):
    return np.ones(len(shown), bool)


class TestReading:
    def test_the_answer_of_a_slate_is_its_own_taken_item(self, tmp_path):
        """The features of the answer are those of the item with the event: labels of another slate turn this red."""
        rows = slates(50, (START, TEST - WAIT))
        file = write(tmp_path, take(rows, rows[TASTE].to_numpy()))
        examples = slate_examples(read(file), np.ones(50, bool), PositionBias(np.zeros(0)))
        best = examples.x[..., COLUMNS.index(TASTE)].argmax(axis=1)
        assert examples.answer.argmax(axis=1).tolist() == best.tolist()
        assert (examples.answer.sum(axis=1) == 1).all()
        assert len(set(best.tolist())) > 5

    def test_slates_that_can_teach_nothing_are_counted(self, tmp_path):
        """Another version's features, no dataset, no features, a deleted user, nothing taken; another dataset's."""
        rows = slates(6, (START, START + 5))
        take(rows, rows[TASTE].to_numpy())
        rows.loc[rows["impression"] == "0-1", COLUMNS] = np.nan
        rows.loc[rows["impression"] == "0-2", "event_types"] = pd.Series([[]] * PLACES, range(20, 30))
        rows.loc[rows["impression"] == "0-3", "dataset"] = "other"
        good = write(tmp_path, rows)
        old = write(tmp_path / "old", slates(3, (START, START), seed=1))
        table = pq.read_table(old.path, partitioning=None)
        pq.write_table(table.drop_columns("dataset"), old.path)
        renamed = write(tmp_path / "renamed", slates(2, (START, START), seed=2))
        names = [name.replace("tower", "charm") for name in table.column_names]
        pq.write_table(table.rename_columns(names), renamed.path)
        shown = read(good, good, old, renamed, deleted={digest_of("u4"): time.time()})
        assert len(shown) == 2
        assert shown.left_out == {
            impressions.NO_FEATURES: 1,
            impressions.NOTHING_TAKEN: 1,
            impressions.DELETED: 2,
            impressions.NO_DATASET: 3,
            impressions.OTHER_FEATURES: 3,
        }


def test_labels_of_the_test_window_train_nothing(tmp_path):
    """The slates from the test on measure, and a slate whose wait ends in it does neither; else the newest tenth."""
    rows = slates(1_000, (TEST - 500 * 60, TEST + 499 * 60))
    shown = read(write(tmp_path, take(rows, rows[TASTE].to_numpy())))
    parts = ShownSlates(shown, TEST)
    assert shown.until[parts.trains].max() <= TEST <= shown.times[parts.held_out].min()
    assert parts.held_out.sum() == (shown.times >= TEST).sum()
    early = ShownSlates(shown, TEST + 10**6)
    assert early.held_out.sum() == 100
    assert shown.until[early.trains].max() <= shown.times[early.held_out].min()


class TestPositionBias:
    def drawn(self, count=40_000, seed=0):
        """Items drawn with a preference for good ones at the first places. Users take by place and by quality."""
        random = np.random.default_rng(seed)
        place = random.integers(PLACES, size=count)
        good = random.random(count) < 0.9 - 0.08 * place
        propensity = np.where(good, 0.9 - 0.08 * place, 0.1 + 0.08 * place) / 10
        taken = random.random(count) < (0.1 + 0.3 * good) / (1 + place)
        return pd.DataFrame({"place": place, "propensity": propensity, "grade": taken.astype(float)})

    def test_the_rates_are_those_of_the_places(self):
        """The rate of place n is 1/n, also if the first places have better items."""
        drawn = self.drawn()
        found = measure(drawn).rates
        np.testing.assert_allclose(found, 1 / np.arange(1, 11), rtol=0.25)
        naive = drawn.assign(propensity=0.5)
        assert measure(naive).rates[-1] < 0.7 * found[-1]

    def test_a_place_is_no_taste(self, tmp_path):
        """Users take by place alone, and the largest TASTE stood first: the corrected net does not order by it."""
        rows, random = slates(3_000, (START, TEST - WAIT)), np.random.default_rng(1)
        rows = rows.sort_values(["time", TASTE], ascending=[True, False], ignore_index=True)
        rows["place"] = np.tile(np.arange(PLACES, dtype=np.int32), 3_000)
        take(rows, -np.log(1 + rows["place"].to_numpy()) + random.gumbel(size=len(rows)))
        shown = read(write(tmp_path, rows))
        x = log_examples().x
        correlation = {}
        for name, rates in (("corrected", 1 / np.arange(1.0, 11)), ("plain", np.zeros(0))):
            net = net_of(slate_examples(shown, everything(shown), PositionBias(rates)))
            correlation[name] = np.corrcoef(scores(net, x).ravel(), x[..., COLUMNS.index(TASTE)].ravel())[0, 1]
        assert correlation["plain"] > 0.9
        assert abs(correlation["corrected"]) < 0.3


class TestChoice:
    def shown(self, folder, share, count=4_000):
        """Slates whose users take the smallest TASTE, but for `share` of those of the held-out tenth: the largest."""
        rows = slates(count, (START, TEST - WAIT))
        held = rows["time"].to_numpy() >= np.quantile(rows["time"], 0.9)
        largest = held & (np.arange(len(rows)) // PLACES % 50 < 50 * share)
        take(rows, np.where(largest, 1, -1) * rows[TASTE].to_numpy())
        return ShownSlates(read(write(folder, rows)), TEST)

    @pytest.mark.parametrize(("share", "serves"), [(0.6, True), (0.72, False)])
    def test_the_net_with_the_higher_figure_serves(self, tmp_path, share, serves):
        """Also where the difference is within two standard errors."""
        examples = log_examples()
        found = fit_with_impressions(net_of(examples), examples, self.shown(tmp_path, share), CONFIG)[1]
        assert abs(found.ours - found.theirs) < 2 * found.error
        assert found.serves == (found.ours > found.theirs) == serves
