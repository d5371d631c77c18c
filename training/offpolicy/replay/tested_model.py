"""Judge the model under test of a training by explored slates that are newer than its data, for the gate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recsys.lists.user_record import UserRecord
from recsys.model.ranker import RankerNet
from recsys.types import Event
from training.advisor.replayed_queries import user_record
from training.advisor.replayed_slates import ReplayedService
from training.evaluation.split import Split
from training.evaluation.verdicts import ArmJudgement
from training.offpolicy.arm_judgement import judge_target
from training.offpolicy.logged_draws import LoggedSlate
from training.offpolicy.replay.replayed_target import ReplayedTarget
from training.retrieval_stage import FirstStage

MOST = 5_000
"""Slates that are judged, the newest."""


def judge_tested(slates: Sequence[LoggedSlate], parts: Split, stage: FirstStage, net: RankerNet) -> ArmJudgement:
    """The tested model against the logged policy. stage: of the events before the test.

    The history of a slate's user is that of the whole log until the second before the request: an event of the same
    second may be the reward.
    """
    log, before = parts.log, parts.before_test
    order, offsets = log.by_user
    rows = {str(user): row for row, user in enumerate(log.user_ids.tolist())}

    def past(slate: LoggedSlate) -> tuple[UserRecord, Sequence[Event]]:
        row = rows.get(slate.user_id)
        if row is None:
            return UserRecord.empty(), ()
        events = order[offsets[row] : offsets[row + 1]]
        return user_record(log, events[log.times[events] < np.floor(slate.asked)]), ()

    return judge_target(slates, ReplayedTarget(ReplayedService.of(before, stage, net, log), past, before.end))
