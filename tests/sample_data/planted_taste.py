"""Two planted logs, for the advisor: taste that turns with each visit, within an hour, and taste that never turns.

Items have categories. Each visit has a category of its own, or a user has the same four categories in all visits and
takes each item once.
"""

from pathlib import Path

import numpy as np
import pandas as pd

USERS, CATEGORIES, PER_CATEGORY = 150, 60, 15
DAYS, VISITS, STEPS = 20, 8, 6
START = 1_700_006_400.0  # a midnight, UTC
HOUR, DAY = 3_600.0, 86_400.0


def write(folder: Path, turns: bool, days_alone: bool = False) -> Path:
    """Write a log as a dataset. days_alone: times are days."""
    rng = np.random.default_rng(3)
    rows = []
    for user in range(USERS):
        liked = rng.permutation(
            [f"{c}-{n}" for c in rng.choice(CATEGORIES, 4, replace=False) for n in range(PER_CATEGORY)]
        )
        for visit, day in enumerate(rng.choice(DAYS, VISITS, replace=False)):
            category, begin = rng.integers(CATEGORIES), START + day * DAY + rng.uniform(1, 22) * HOUR
            turned = [f"{category}-{n}" for n in rng.choice(PER_CATEGORY, STEPS, replace=False)]
            times = begin + np.cumsum(rng.uniform(10, 60, STEPS))
            rows += zip([user] * STEPS, turned if turns else liked[visit * STEPS :], times, strict=False)
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).sort_values("timestamp")
    if days_alone:
        table["timestamp"] = table["timestamp"] // DAY * DAY
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "log.csv", index=False)
    items = [(f"{c}-{i}", f"c{c}") for c in range(CATEGORIES) for i in range(PER_CATEGORY)]
    pd.DataFrame(items, columns=["item_id", "category"]).to_csv(folder / "items.csv", index=False)
    (folder / "dataset.toml").write_text(
        'name = "planted"\n[interactions]\nfile = "log.csv"\nuser_id = "user_id"\nitem_id = "item_id"\n'
        'timestamp = "timestamp"\n[items]\nfile = "items.csv"\nitem_id = "item_id"\ncategories = "category"\n'
        "[settings]\nexclude_seen = true\n"
    )
    return folder
