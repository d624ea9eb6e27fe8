"""`ilsvrc plan`: what would settle a difference of so many points, from the runs that exist."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from experiments.comparison.planning import measured
from experiments.comparison.planning.crossed import crossed
from experiments.comparison.planning.measured import Setting
from experiments.errors import BadInput

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tuning.statistics.components import OfPair
    from tuning.statistics.over_seeds import Training
    from tuning.statistics.power import Noise

FIRST_SEEDS = 3
"""Seeds that are spoken of before any run exists."""
SEEDS = (2, 3, 5, 10, 20)
TIMES = (1, 4, 16)
"""Numbers of images in the table, as multiples of those there are."""


@dataclass(frozen=True)
class Question:
    """What is to be settled. Differences and scores as fractions."""

    lead: float
    power: float = 0.8
    alpha: float = 0.05
    seed_sd: float | None = None
    images: int | None = None
    top1: float | None = None


def question(
    detect: float,
    power: float,
    alpha: float,
    seed_sd: float | None,
    images: int | None,
    top1: float | None,
) -> Question:
    """From the command line, where differences and scores are in points.

    Raises:
        BadInput: a number that cannot be.
    """
    for name, value, fine, expected in (
        ("detect", detect, 0 < detect < 100, "points of accuracy above 0, such as 0.5"),
        ("power", power, 0 < power < 1, "a probability between 0 and 1, such as 0.8"),
        ("alpha", alpha, 0 < alpha < 1, "a level between 0 and 1, such as 0.05"),
        ("seed-sd", seed_sd, seed_sd is None or 0 <= seed_sd < 50, "points from 0 on, such as 0.6"),
        ("images", images, images is None or images > 1, "2 test images or more"),
        ("top1", top1, top1 is None or 0 < top1 < 100, "percent between 0 and 100, such as 90"),
    ):
        if not fine:
            raise BadInput(f"--{name} {value:g}: expected {expected}")
    if power <= alpha / 2:
        raise BadInput(f"--power {power:g}: chance alone gives as much at --alpha {alpha:g}")
    return Question(
        detect / 100, power, alpha,
        None if seed_sd is None else seed_sd / 100, images, None if top1 is None else top1 / 100,
    )  # fmt: skip


def plan(
    client: MlflowClient | None, name: str | None, wanted: Question, components: bool = False
) -> dict[str, Any]:
    """What is known, what it can show, and what would settle the difference; plain JSON types.

    Args:
        client, name: an experiment; without, or where it has no runs, `wanted` must hold `seed_sd`
            and `images`.
        components: also of each seed that was varied against others.

    Raises:
        BadInput: neither runs nor `seed_sd`, and what no number can be told from.
    """
    rows, notes = _rows(client, name, wanted)
    if not rows:
        if components:
            raise BadInput("--components: takes runs whose seeds were varied against each other")
        return {"experiment": name, **_before(wanted, notes)}
    document = {"experiment": name, **_after(rows, wanted, notes, str(name))}
    if components:
        document["components"]["crossed"] = crossed(rows, str(name))
    return document


def _rows(
    client: MlflowClient | None, name: str | None, wanted: Question
) -> tuple[list[Setting], list[str]]:
    if client is not None and name is not None:
        try:
            return measured.settings(client, name)
        except BadInput as error:
            if wanted.seed_sd is None:
                raise BadInput(
                    f"{error}; or plan before any run: --seed-sd POINTS --images N"
                ) from error
            return [], [f"no runs were read: {error}"]
    return [], []


def _before(wanted: Question, notes: list[str]) -> dict[str, Any]:
    from tuning.statistics.power import assumed

    if wanted.seed_sd is None:
        raise BadInput("name an experiment, or say what is expected: --seed-sd POINTS --images N")
    if wanted.images is None:
        raise BadInput(
            "--seed-sd: without runs it takes the number of test images, too: --images N"
        )
    top1 = 0.9 if wanted.top1 is None else wanted.top1
    noise = assumed(wanted.seed_sd, top1)
    said = [
        f"two rows and, where no number is said, {FIRST_SEEDS} seeds",
        f"a standard deviation of {100 * wanted.seed_sd:g} points from seed to seed",
        _of_images(top1),
    ]
    answer = _answer(noise, wanted, 2, FIRST_SEEDS, wanted.images)
    shares = noise.parts(FIRST_SEEDS, wanted.images)
    total = sum(shares.values())
    parts = {key: {"share": part / total, "low": None, "high": None}
             for key, part in shares.items()}  # fmt: skip
    return {
        **answer, "rows": [], "against_best": [], "assumed": said, "notes": notes,
        "components": {**parts, "pairing": None, **_deviations(noise)},
    }  # fmt: skip


def _of_images(top1: float) -> str:
    return (
        f"two networks of {100 * top1:.3g} % top-1 (--top1) that differ on "
        f"{top1 * (1 - top1):.1%} of the images, half of what independent errors make"
    )


def _after(
    rows: Sequence[Setting], wanted: Question, notes: list[str], name: str
) -> dict[str, Any]:
    from tuning.statistics.over_seeds import training_variances
    from tuning.statistics.power import assumed

    training = training_variances({k: list(row.scores.values()) for k, row in enumerate(rows)})
    if not training and wanted.seed_sd is None:
        raise BadInput(
            f"{name}: every row has one seed, which does not tell how far trainings scatter; run "
            "sweep.seed=[1, 2, 3], or say what is expected: --seed-sd POINTS"
        )
    images = wanted.images or rows[0].images
    if images is None:
        raise BadInput(f"{name}: its runs do not say how many test images they had: --images N")
    there = rows[0].images or images
    common = [measured.common_seeds(rows[0], row) for row in rows[1:] or rows]
    seeds = max(min(common), 2)
    scatter = fmean(one.variance for one in training.values()) if training else 0.0
    guess = assumed(scatter**0.5, rows[0].top1 if wanted.top1 is None else wanted.top1)
    said, pairs, noises = [], [], []
    for k, row in enumerate(rows[1:], 1):
        pair = _of_pair(rows[0], row, training.get(0), training.get(k))
        noise = _expected(pair.noise if pair else guess, wanted, there)
        pairs.append(pair)
        noises.append(noise)
    known = [pair for pair in pairs if pair]
    if not known:
        why = "the rows kept no predictions of two common seeds" if rows[1:] else "there is one row"
        said.append(f"{why}, so what images add cannot be told: {_of_images(rows[0].top1)}")
    if wanted.seed_sd is not None:
        said.append(f"a standard deviation of {100 * wanted.seed_sd:g} points from seed to seed")
    if min(common) < 2:
        said.append("2 seeds a row, in place of one or none that rows share")
    if wanted.images is not None and wanted.images != there:
        said.append(f"{images:,} test images in place of the {there:,} of the runs")
    counted = max(len(rows), 2)
    general = _mean(noises) if noises else _expected(guess, wanted, there)
    if training and not next(iter(training.values())).pooled and len(training) > 1:
        notes.append(
            "the rows do not scatter alike over seeds; figures in general are of their mean"
        )
    if any(len(seeds) > 1 for row in rows for seeds in row.scores):
        notes.append("seeds of single draws were varied, so that runs share some: see --components")
    return {
        **_answer(general, wanted, counted, seeds, images),
        "rows": [{"row": row.name, "top1": row.top1, "seeds": len(row.scores)} for row in rows],
        "against_best": [
            {
                "row": row.name,
                "difference": row.top1 - rows[0].top1,
                "common_seeds": many,
                **_answer(noise, wanted, counted, max(many, 2), images, table=False),
            }
            for row, noise, many in zip(rows[1:], noises, common, strict=False)
        ],
        "assumed": said,
        "notes": notes,
        "components": _components(general, known, seeds, images, wanted),
    }


def _of_pair(
    best: Setting, row: Setting, one: Training | None, other: Training | None
) -> OfPair | None:
    from tuning.statistics.components import of_pair

    hits = measured.common_hits(best, row)
    return of_pair(*hits, (one, other)) if hits and one and other else None


def _expected(noise: Noise, wanted: Question, images: int) -> Noise:
    """With the scatter that was said in place of the measured."""
    if wanted.seed_sd is None:
        return noise
    return replace(noise, training=max(wanted.seed_sd**2 - noise.moved / images, 0.0))


def _mean(noises: Sequence[Noise]) -> Noise:
    from tuning.statistics.power import Noise

    columns = zip(*(asdict(noise).values() for noise in noises), strict=True)
    return Noise(*map(fmean, columns))


def _answer(
    noise: Noise, wanted: Question, rows: int, seeds: int, images: int, table: bool = True
) -> dict[str, Any]:
    from tuning.statistics import power

    lead, alpha = wanted.lead, wanted.alpha
    answer = {
        "seeds": power.fewest_seeds(noise, lead, images, rows, alpha, wanted.power),
        "images": power.fewest_images(noise, lead, seeds, rows, alpha, wanted.power),
        "power": power.power(noise, lead, seeds, images, rows, alpha),
        "detectable": power.detectable(noise, seeds, images, rows, alpha, wanted.power),
    }
    if not table:
        return answer
    counts = sorted({*SEEDS, seeds, *([answer["seeds"]] if answer["seeds"] else [])})
    cells = [
        {
            "seeds": n,
            "images": times * images,
            "power": power.power(noise, lead, n, times * images, rows, alpha),
        }
        for times in TIMES
        for n in counts
    ]
    return {
        "detect": lead,
        "wanted_power": wanted.power,
        "alpha": alpha,
        "pairs_of_rows": math.comb(rows, 2),
        "present": {"seeds": seeds, "images": images},
        **answer,
        "most_power": {
            "seeds": power.power(noise, lead, math.inf, images, rows, alpha),
            "images": power.power(noise, lead, seeds, math.inf, rows, alpha),
        },
        "table": cells,
    }


def _deviations(noise: Noise) -> dict[str, float]:
    """Standard deviations: of a score between trainings, of a pair's difference at one image."""
    return {"training_sd": noise.training**0.5, "images_sd": noise.images**0.5}


def _components(
    noise: Noise, pairs: Sequence[OfPair], seeds: int, images: int, wanted: Question
) -> dict[str, Any]:
    parts = noise.parts(seeds, images)
    total = sum(parts.values()) or 1.0
    measured_ones = [] if wanted.seed_sd is not None else [p.shares(seeds, images) for p in pairs]
    shares = {
        name: {
            "share": part / total,
            "low": fmean(of[name][1] for of in measured_ones) if measured_ones else None,
            "high": fmean(of[name][2] for of in measured_ones) if measured_ones else None,
        }
        for name, part in parts.items()
    }
    pairing = fmean(pair.pairing for pair in pairs) if pairs else None
    return {**shares, "pairing": pairing, **_deviations(noise)}
