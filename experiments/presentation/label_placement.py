"""Where labels go in a crowded scatter plot: first free place around each bubble, deterministic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

Segment = tuple[float, float, float, float]
"""x0, y0, x1, y1."""
CROSSING = 16.0
"""A label may stand this many gaps further away rather than lie on one line."""
DOUBTFUL = 12.0
"""And this many rather than be nearer to another bubble than to its own."""


@dataclass(frozen=True)
class Box:
    """A rectangle; `bottom` is the smaller y, whichever way the axis points."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def inside(self, other: Box) -> bool:
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.bottom >= other.bottom
            and self.top <= other.top
        )

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The point of the rectangle that is nearest to (x, y)."""
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)

    def distance(self, bubble: Bubble) -> float:
        """From the rectangle to the rim of a bubble; negative where they overlap."""
        near_x, near_y = self.nearest(bubble.x, bubble.y)
        return math.hypot(near_x - bubble.x, near_y - bubble.y) - bubble.radius


@dataclass(frozen=True)
class Bubble:
    x: float
    y: float
    radius: float


def place(
    bubbles: Sequence[Bubble],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    lines: Sequence[Segment] = (),
    gap: float = 3.0,
) -> list[Box]:
    """A box for each label, clear of the other labels, of all bubbles and of the frame.

    The labels are of the first bubbles; the others have none and are kept clear all the same. All
    in one unit, such as pixels. Boxes keep off `lines` where that costs little. Should the
    frame be too full, the candidate with the least overlap is taken.
    """
    order = sorted(range(len(sizes)), key=lambda i: (-_crowd(bubbles, i), i))
    placed: dict[int, Box] = {}
    drawn = list(lines)
    for i in order:
        box = _choose(i, bubbles, sizes[i], frame, drawn, list(placed.values()), gap)
        placed[i] = box
        if (segment := leader(bubbles[i], box, gap)) is not None:
            drawn.append(segment)
    return [placed[i] for i in range(len(sizes))]


def leader(bubble: Bubble, box: Box, gap: float = 3.0) -> Segment | None:
    """The line from a bubble's centre to a label that stands too far away to be read as its own."""
    if box.distance(bubble) <= 3 * gap:
        return None
    x, y = box.nearest(bubble.x, bubble.y)
    return bubble.x, bubble.y, x, y


def staircase(points: Sequence[tuple[float, float]], right: float) -> list[Segment]:
    """The steps along points ordered by x: each level holds until the next point, then `right`."""
    corners: list[tuple[float, float]] = []
    for x, y in points:
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    if corners:
        corners.append((right, corners[-1][1]))
    return [(*a, *b) for a, b in pairwise(corners)]


def spread(wanted: Sequence[float], height: float, low: float, high: float) -> list[float]:
    """Centres for labels in a column: as near to the wanted ones as a distance of `height` allows.

    Within low..high if they fit there at all; the order is kept.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks: list[tuple[float, int]] = []  # mean of (wanted - offset in block), members
    for i in order:
        blocks.append((wanted[i], 1))
        while len(blocks) > 1:
            (one, n), (two, m) = blocks[-2:]
            # a block's centres are mean + (0 .. n - 1) * height; they touch where they would meet
            if two - one >= n * height:
                break
            blocks[-2:] = [((n * one + m * (two - n * height)) / (n + m), n + m)]
    centres: list[float] = []
    for start, n in blocks:
        start = max(low, min(start, high - (n - 1) * height))
        if centres:
            start = max(start, centres[-1] + height)
        centres += [start + k * height for k in range(n)]
    for k in reversed(range(len(centres))):  # what went above the upper bound pushes down
        above = centres[k + 1] - height if k + 1 < len(centres) else high
        centres[k] = min(centres[k], above)
    placed = [0.0] * len(wanted)
    for i, centre in zip(order, centres, strict=True):
        placed[i] = centre
    return placed


def _choose(
    i: int,
    bubbles: Sequence[Bubble],
    size: tuple[float, float],
    frame: Box,
    lines: Sequence[Segment],
    taken: Sequence[Box],
    gap: float,
) -> Box:
    best: tuple[float, Box] | None = None
    fallback: tuple[float, Box] | None = None
    reach = math.hypot(frame.right - frame.left, frame.top - frame.bottom)
    for distance, box in _candidates(bubbles[i], size, gap, reach):
        if best is not None and distance > best[0]:
            break
        if not box.inside(frame):
            continue
        clash = sum(_shared_area(box, other) for other in taken)
        clash += sum(-min(0.0, box.distance(bubble)) * size[1] for bubble in bubbles)
        if clash > 0:
            if fallback is None or clash < fallback[0]:
                fallback = (clash, box)
            continue
        cost = distance + CROSSING * gap * sum(_crosses(line, box) for line in lines)
        to_rim = box.distance(bubbles[i])
        others = [bubble for j, bubble in enumerate(bubbles) if j != i]
        cost += DOUBTFUL * gap * any(box.distance(bubble) < to_rim for bubble in others)
        segment = leader(bubbles[i], box, gap)
        if segment is not None:
            cost += CROSSING * gap * sum(_crosses(segment, other) for other in taken)
            cost += 8 * gap * sum(_passes(segment, other) for other in others)
        if best is None or cost < best[0]:
            best = (cost, box)
    chosen = best or fallback
    if chosen is None:  # larger than the frame
        return Box(frame.left, frame.bottom, frame.left + size[0], frame.bottom + size[1])
    return chosen[1]


def _candidates(
    bubble: Bubble, size: tuple[float, float], gap: float, reach: float
) -> Iterator[tuple[float, Box]]:
    """Boxes around a bubble, nearest first; right of it before left, above and below."""
    directions = [0, 180, 90, 270, 30, 330, 150, 210, 60, 300, 120, 240, 15, 345, 165, 195]
    distance = gap
    while distance < reach:
        for preference, degrees in enumerate(directions):
            cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            from_centre = bubble.radius + distance
            x = bubble.x + cosine * from_centre + size[0] / 2 * max(-1, min(1, 1.5 * cosine))
            y = bubble.y + sine * from_centre + size[1] / 2 * max(-1, min(1, 1.5 * sine))
            box = Box(x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2)
            yield distance + preference * gap / 8, box
        distance *= 1.35


def _crowd(bubbles: Sequence[Bubble], i: int) -> int:
    here = bubbles[i]
    return sum(math.hypot(b.x - here.x, b.y - here.y) < 10 * (here.radius + 5) for b in bubbles)


def _shared_area(a: Box, b: Box) -> float:
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.top, b.top) - max(a.bottom, b.bottom)
    return max(0.0, width) * max(0.0, height)


def _crosses(line: Segment, box: Box) -> bool:
    """Liang and Barsky's clip: does any part of the segment lie in the rectangle?"""
    x0, y0, x1, y1 = line
    enter, leave = 0.0, 1.0
    for step, near, far in (
        (x1 - x0, box.left - x0, box.right - x0),
        (y1 - y0, box.bottom - y0, box.top - y0),
    ):
        if step == 0:
            if near > 0 or far < 0:
                return False
            continue
        first, second = sorted((near / step, far / step))
        enter, leave = max(enter, first), min(leave, second)
    return enter < leave


def _passes(line: Segment, bubble: Bubble) -> bool:
    x0, y0, x1, y1 = line
    length = (x1 - x0) ** 2 + (y1 - y0) ** 2
    along = ((bubble.x - x0) * (x1 - x0) + (bubble.y - y0) * (y1 - y0)) / length if length else 0
    along = max(0.0, min(1.0, along))
    x, y = x0 + along * (x1 - x0), y0 + along * (y1 - y0)
    return math.hypot(x - bubble.x, y - bubble.y) < bubble.radius
