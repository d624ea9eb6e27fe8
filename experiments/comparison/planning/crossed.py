"""Of a sweep whose seeds were varied against each other: how much of the variance is of which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from experiments.comparison.planning.measured import Setting
from experiments.config.schema import Seeds
from experiments.errors import BadInput
from experiments.presentation.formatting import SEEDS


def crossed(rows: Sequence[Setting], name: str) -> list[dict[str, Any]]:
    """Of each row, the variance of its score from each seed that was varied against others.

    Raises:
        BadInput: no row has such seeds, or they cannot be told apart.
    """
    from tuning.statistics.components import REST, of_crossing

    made = []
    for row in rows:
        levels = {
            key: values
            for key, values in row.levels().items()
            if len(set(values)) > 1 and (key != "seed" or _is_a_draw(row))
        }
        if not any(key.startswith(SEEDS) for key in levels):
            continue
        try:
            parts = of_crossing(list(row.scores.values()), levels)
        except ValueError as error:
            raise BadInput(f"--components: {name}, {row.name}: {error}") from error
        total = sum(part.variance for part in parts.values()) or 1.0
        factors = [
            {"factor": key, **asdict(part), "share": part.variance / total}
            for key, part in parts.items()
        ]
        made.append({"row": row.name, "runs": len(row.scores), "rest": REST, "factors": factors})
    if not made:
        raise BadInput(
            f"--components: in {name} no seeds were varied against each other; sweep two or more "
            "of seeds.weights, seeds.order, seeds.augmentation and seeds.dropout"
        )
    return made


def _is_a_draw(row: Setting) -> bool:
    """Does `seed` still decide a draw of its own in some run?"""
    return any(len(seeds) < 1 + len(Seeds.model_fields) for seeds in row.scores)
