"""Compare the live generation (the trained models and tables that servers use now) with a newly trained model, on the
same test queries.

Two generations number items, event types and context values differently. `LiveModel` translates the history of a query
into the numbers of the live generation, and the scores back. A value without a number there is left out of the history.
An item that the live generation does not have scores -inf: it can't recommend that item.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import numpy as np

from recsys.generation.content_checks import readable
from recsys.generation.item_tables import ItemTables
from recsys.generation.manifest import GenerationFolder
from recsys.model.feature_spec import FeatureSpec
from recsys.model.ranker import Ranker, RankerNet
from recsys.retrieval.retriever import Retriever
from recsys.slates.served_generation import ServedGeneration
from recsys.types import CLOCK, F32, I32, I64, PAD, U8, Bool, Histories
from training.encode.catalogue import Catalogue
from training.encode.interaction_log import Log
from training.encode.split import Split
from training.fit.first_stage import FirstStage
from training.fit.item_tables import recounted
from training.judge.metric_table import SERVED, Comparison
from training.judge.ranking import Scorers, metric_row, rank_targets, segments
from training.judge.replay import ReplayedModel, scores_of_all
from training.progress import StepProgress, no_step

LIVE = "live"
"""The name of the live generation among the scorers of a comparison."""


class LiveModel:
    """A generation as a scorer of the items of another catalogue."""

    def __init__(self, folder: GenerationFolder, log: Log) -> None:
        """Load a verified generation; GenerationError where a part can't be read. log: that features count."""
        self._folder = folder
        manifest, catalogue = folder.manifest, log.catalogue
        self.id, self.data_end = manifest.id, manifest.data_end
        with readable(manifest.id):
            tables, self._spec = folder.tables(), folder.spec()
            self._rows = np.append(_item_rows(tables, catalogue), PAD).astype(np.int32)
            self._back = np.full(len(tables) + 1, PAD, np.int32)
            known = np.flatnonzero(self._rows != PAD)
            self._back[self._rows[known]] = known
            # The stock of today: in serving, the live generation receives it by PUT /items.
            available = np.zeros(len(tables), bool)
            available[self._rows[known]] = catalogue.available[known]
            self._events = log.events_by(self._rows, len(tables))
            self.use(replace(tables, available=available))
        self._types = _type_rows(self._spec, catalogue.spec)
        self._contexts = _context_rows(self._spec, catalogue.spec)

    def recounted(self, known: Log) -> LiveModel:
        """The same model with the popularity and the age of items in another log."""
        other = copy(self)
        with readable(self.id):
            other.use(recounted(self._model.generation.tables, known.without_revoked(), self._rows[:-1]))
        return other

    def use(self, tables: ItemTables) -> None:
        """Retrieve and rank over these tables of the generation's items from now on."""
        folder, served = self._folder, ServedGeneration(self._folder.manifest, tables, self._spec)
        ranker = Ranker.load(folder, tables).counting(self._events)
        self._model = ReplayedModel(served, Retriever.load(folder, tables), ranker)

    def score(self, histories: Histories) -> F32:
        """The ranker's scores of the retrieved candidates, -inf elsewhere: [B, n] float32, by the catalogue's rows."""
        translated = self._translated(histories)
        candidates, scores = self._model.ranked(translated)
        return scores_of_all(replace(candidates, items=self._back[candidates.items]), scores, len(self._rows) - 1)

    def _translated(self, histories: Histories) -> Histories:
        """The histories in the generation's own numbers, without the values that have none."""
        items, types = self._rows[histories.items], self._types[histories.types]
        context = np.zeros_like(histories.context)
        context[:, :CLOCK] = histories.context[:, :CLOCK]
        for column, ours, rows in self._contexts:
            context[:, CLOCK + column] = rows[histories.context[:, CLOCK + ours]]
        kept = replace(histories, items=items, types=types.clip(min=0).astype(np.uint8), context=context)
        return kept.only((items != PAD) & (types >= 0))


def compare(
    parts: Split, stage: FirstStage, net: RankerNet, live: LiveModel, progress: StepProgress = no_step
) -> Comparison:
    """The figures of both models on the test queries that neither model learned from."""
    chosen = unknown_to_both(parts, live.data_end)
    if not chosen.any():
        return Comparison(live.id)
    same, stage = replace(parts, test=parts.test[chosen]), with_tables_of(parts, stage, live.data_end)

    def scorers_at(cut: float) -> Scorers:
        known = parts.known_to_test(max(cut, after(live.data_end)))
        ours, theirs = stage.recounted(known), live.recounted(known) if cut > live.data_end else live
        return {SERVED: ReplayedModel.of(known, ours, net, parts.log).scores, LIVE: theirs.score}

    ranked = rank_targets(same, scorers_at, progress)
    users, events = same.log.users[same.test], segments(same)
    ours, theirs = (ranked[name].places for name in (SERVED, LIVE))
    return Comparison(
        live.id,
        metric_row(ours, same.query, users, events),
        metric_row(theirs, same.query, users, events, served=ours),
    )


def with_tables_of(parts: Split, stage: FirstStage, live_end: float) -> FirstStage:
    """The tested stage with tables of all events until `live_end`, as the live generation has them.

    The towers stay as they are: they end before the test. With tables that end there, too, a model like the live
    generation seems a fifth worse on MovieTweetings (docs/decisions.md, 2026-11-30).
    """
    known = parts.known_to_test(after(live_end))
    return stage if len(known) == len(parts.before_test) else stage.rebuilt(known)


def after(moment: float) -> float:
    """The cut behind the events of a moment."""
    return float(np.nextafter(moment, np.inf))


def unknown_to_both(parts: Split, live_end: float) -> Bool:
    """The test events of queries whose targets a model of all events until `live_end` does not know: [T] bool.

    An item that only the live generation learned is left out: its first event is between the test's start and
    `live_end`. The tested model can't recommend such an item; the model that this run publishes can.
    """
    log, items = parts.log, len(parts.log.catalogue)
    in_live = np.bincount(log.items[log.times <= live_end], minlength=items) > 0
    in_tested = np.bincount(parts.before_test.items, minlength=items) > 0
    fair = (log.times[parts.test] > live_end) & ~(in_live & ~in_tested)[log.items[parts.test]]
    fair_queries = np.ones(int(parts.query.max(initial=-1)) + 1, bool)
    fair_queries[parts.query[~fair]] = False
    chosen: Bool = fair_queries[parts.query]
    return chosen


def _item_rows(tables: ItemTables, catalogue: Catalogue) -> I32:
    """The generation's row of each item of a catalogue, PAD where it has none: [n] int32."""
    found = tables.ids.find([str(each) for each in catalogue.ids])
    return np.array([PAD if row is None else row for row in found], np.int32)


def _type_rows(live: FeatureSpec, ours: FeatureSpec) -> I64:
    """The generation's row of each event type, -1 for a type that is not part of its histories: [T] int64."""
    rows = [live.type_row(name) for name in ours.event_types]
    return np.array([-1 if row is None else row for row in rows] or [0], np.int64)


def _context_rows(live: FeatureSpec, ours: FeatureSpec) -> list[tuple[int, int, U8]]:
    """For each context column of both: its place in the generation and here, and the generation's row of each value."""
    ours_at = {column: (place, values) for place, (column, values) in enumerate(ours.contexts)}
    found = []
    for place, (column, values) in enumerate(live.contexts):
        if column in ours_at:
            our_place, our_values = ours_at[column]
            rows = [0, *(values.index(value) + 1 if value in values else 0 for value in our_values)]
            found.append((place, our_place, np.array(rows, np.uint8)))
    return found
