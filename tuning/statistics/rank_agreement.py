"""Does a table come out in the order in which it was published, and how surely?

Kendall's tau is the share of pairs in the same order less the share in the other one. It is taken
over the pairs that the published figures order; ties there say nothing, and leave no pair.

Our figures are estimates, so that tau is one, too. Its interval is built from the pairs: each is
decided (first behind, ahead) by an interval of its difference over seeds and images at the level
1 - alpha / pairs, and those that are not decided count once as agreeing and once as disagreeing.
With probability 1 - alpha or more no decision is wrong (Bonferroni), and the tau of the true scores
lies between the two. It is wide where figures are near: a bootstrap of tau would be narrower, and
covers too seldom there, since it takes the draw of our scores for the truth and adds noise to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tuning.statistics.over_seeds import Difference, difference, training_variances
from tuning.statistics.significance import Interval, mcnemar

METHOD = "pairs decided over seeds and images, Bonferroni"
METHOD_ONE_SEED = "pairs decided over images, of these trained networks, Bonferroni"

Hits = Mapping[int, np.ndarray]
"""bool [images], whether the label was right, by seed."""
Pair = tuple[int, int]


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau of our order with the published one."""

    tau: float
    interval: Interval
    pairs: int
    """That the published figures order."""
    undecided: int
    """Of these, those that our figures leave open."""


def published_pairs(published: Sequence[float | None]) -> list[Pair]:
    """Positions of two figures that differ, the lower one first."""
    known = [(figure, at) for at, figure in enumerate(published) if figure is not None]
    return [
        (one, other)
        for (first, one), (second, other) in itertools.permutations(known, 2)
        if first < second
    ]


def agreement(
    pairs: Sequence[Pair],
    ours: Mapping[int, float],
    decided: Mapping[Pair, int],
    *,
    confidence: float = 0.95,
    method: str = METHOD,
) -> Agreement | None:
    """Tau over the pairs of which we have both figures; None without any.

    Args:
        pairs: positions, as `published_pairs` gives them.
        ours: our figures by position, in the published unit.
        decided: of a pair whether the first is below (1), above (-1) or unclear (0).
    """
    known = [(one, other) for one, other in pairs if one in ours and other in ours]
    if not known:
        return None
    signs = [int(np.sign(ours[other] - ours[one])) for one, other in known]
    sure = [decided.get(pair, 0) for pair in known]
    count, open_ = len(known), sure.count(0)
    low, high = (sum(sure) - open_) / count, (sum(sure) + open_) / count
    return Agreement(sum(signs) / count, Interval(low, high, confidence, method), count, open_)


def decide_by_hits(
    pairs: Sequence[Pair], hits: Mapping[int, Hits], *, confidence: float = 0.95
) -> dict[Pair, int]:
    """Which of two rows of shares of wrong images is the lower, over common seeds and images.

    With one common seed the exact test of the two trained networks (McNemar) stands in: other seeds
    may say otherwise. A pair without common images is left open.

    Returns:
        1 where the first errs less, -1 where the second does, 0 where it is open.
    """
    level = (1 - confidence) / max(len(pairs), 1)
    scores = {at: [float(right.mean()) for right in of.values()] for at, of in hits.items()}
    training = training_variances(scores)
    decisions = {}
    for one, other in pairs:
        seeds = sorted(set(hits.get(one, {})) & set(hits.get(other, {})))
        rows = [[hits[at][seed] for seed in seeds] for at in (one, other)]
        if not seeds or len({len(right) for row in rows for right in row}) > 1:
            continue
        if len(seeds) == 1:
            test = mcnemar(rows[0][0], rows[1][0], exact=True)
            sure, lead = test.p_value < level, float(test.only_first - test.only_second)
        else:
            apart = difference(
                np.stack(rows[0]), np.stack(rows[1]), (training[one], training[other])
            )
            sure, lead = abs(apart.mean) > apart.half_width(level), apart.mean
        decisions[one, other] = int(np.sign(lead)) if sure else 0
    return decisions


def decide_by_scores(
    pairs: Sequence[Pair], scores: Mapping[int, Sequence[float]], *, confidence: float = 0.95
) -> dict[Pair, int]:
    """As `decide_by_hits` of figures that are no shares of images, such as updates to a target:
    over seeds alone, of two or more; with one seed every pair is open."""
    level = (1 - confidence) / max(len(pairs), 1)
    training = training_variances(scores)
    decisions = {}
    for one, other in pairs:
        if one not in training or other not in training:
            continue
        parts = tuple(
            (training[at].variance / len(scores[at]), training[at].degrees) for at in (one, other)
        )
        lead = float(np.mean(scores[other]) - np.mean(scores[one]))
        sure = abs(lead) > Difference(lead, 0.0, parts).half_width(level)
        decisions[one, other] = int(np.sign(lead)) if sure else 0
    return decisions


def share_interval(hits: Hits, of_rows: Mapping[int, Hits], row: int) -> Interval | None:
    """Interval of a row's share of right images over new seeds and images, rows that scatter alike
    pooled as in `training_variances`; None with one seed, of which only the images are known."""
    if len(hits) < 2:
        return None
    scores = {at: [float(right.mean()) for right in of.values()] for at, of in of_rows.items()}
    training = replace(training_variances(scores)[row], pooled=False)
    right = np.stack(list(hits.values()))
    none = replace(training, variance=0.0)
    interval = difference(right, np.zeros_like(right), (training, none)).interval()
    return replace(interval, low=max(interval.low, 0.0), high=min(interval.high, 1.0))
