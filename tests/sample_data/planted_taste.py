"""Two planted logs, for the advisor: taste that turns with each visit, within an hour, and taste that never turns.

Items have categories. A user's next item is of the category that the user's taste is for at the time.
"""

from pathlib import Path

import numpy as np
import pandas as pd

USERS, CATEGORIES, PER_CATEGORY, DAYS, VISIT = 150, 60, 15, 20, 6
START = 1_700_006_400.0  # a midnight, UTC
HOUR, DAY = 3_600.0, 86_400.0


def write(folder: Path, turns: bool, days_alone: bool = False) -> Path:
    """Write a log as a dataset. turns: each visit has a category of its own. days_alone: times are days."""
    rng = np.random.default_rng(3)
    rows = []
    for user in range(USERS):
        favourite = rng.integers(CATEGORIES)
        for day in rng.choice(DAYS, 8, replace=False):
            category = rng.integers(CATEGORIES) if turns else favourite
            begin = START + day * DAY + rng.uniform(1 * HOUR, 22 * HOUR)
            for step, item in enumerate(rng.choice(PER_CATEGORY, VISIT, replace=False)):
                rows.append((user, f"{category}-{item}", begin + step * rng.uniform(10, 60)))
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
