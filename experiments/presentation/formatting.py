"""How numbers and settings read in tables, figures, labels and names of runs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any


def si(value: float | None, digits: int = 3) -> str:
    """A count with its prefix: 40.6 M, 270 k, 15.5 G."""
    if value is None:
        return ""
    if abs(value) < 1000 and float(value).is_integer():
        return str(int(value))
    for scale, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")):
        # 999,600 rounds to 1.00 M, not to 1000 k
        if float(f"{abs(value):.{digits}g}") >= scale:
            return f"{significant(value / scale, digits)} {prefix}".rstrip()
    return significant(value, digits)


def significant(value: float | None, digits: int = 3) -> str:
    """So many significant digits, never with an exponent: 0.0123, 4.06, 40.6, 1234."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    decimals = max(0, digits - 1 - _exponent(rounded))
    return f"{rounded:.{decimals}f}"


def percent(row: Mapping[str, Any], key: str) -> str:
    """A mean accuracy and its standard deviation over seeds: 97.4 ± 0.3."""
    mean, std = row.get(key), row.get(f"{key.removesuffix('_mean')}_std")
    if mean is None:
        return ""
    return f"{100 * mean:.1f}" + ("" if std is None else f" ± {100 * std:.1f}")


def score(name: str, value: float) -> str:
    """A metric's value: accuracies, which are fractions, in per cent; losses as they are."""
    return f"{value:.2%}" if in_percent(name) else f"{value:.4f}"


def in_percent(name: str) -> bool:
    """Is a metric a fraction that is shown in per cent: top-1, top-5, their means over classes, and
    the F1 beside them?"""
    return name.endswith(("top1", "top5", "macro_f1"))


def interval_words(name: str, interval: Mapping[str, Any]) -> str:
    """An interval of a metric by its method: 95 % interval for new images 93.10 to 97.90 %
    (corrected resampled t).

    Args:
        interval: low, high, confidence and method.
    """
    level = f"{100 * interval['confidence']:.0f} %"
    ends = score_range(name, interval["low"], interval["high"])
    return f"{level} interval for new images {ends} ({interval['method']})"


def score_range(name: str, low: float, high: float) -> str:
    """From one value of a metric to another: 93.10 to 97.90 %, or 0.0123 to 0.0150."""
    if in_percent(name):
        return f"{100 * low:.2f} to {100 * high:.2f} %"
    return f"{low:.4f} to {high:.4f}"


def _exponent(value: float) -> int:
    return int(f"{abs(value):e}".split("e")[1])


SEEDS = "seeds."
"""What the keys of seeds that stand in place of `seed` begin with."""


def run_title(model: str, seed: int, axes: Mapping[str, Any]) -> str:
    """The name of a run: what its sweep varies, the seed, and of `seeds` what the sweep varies."""
    apart = [f"{key.removeprefix(SEEDS)} {axes[key]}" for key in axes if key.startswith(SEEDS)]
    return " ".join([f"{setting_title(model, axes)} seed {seed}", *apart])


def setting_title(model: str, axes: Mapping[str, Any]) -> str:
    """The name that runs have in common which differ in their seeds alone."""
    varied = [
        f"{key.rpartition('.')[2]}={shortened(in_words(value), 40)}"
        for key, value in axes.items()
        if key not in ("model.name", "seed") and not key.startswith(SEEDS)
    ]
    return " ".join([model, *varied])


def short_id(run_id: str) -> str:
    """A run's id in a line; every command takes these digits for the whole."""
    return run_id[:8]


def shortened(text: str, letters: int, ending: str = "...") -> str:
    """A text of so many letters at most, its ending included."""
    return text if len(text) <= letters else text[: letters - len(ending)] + ending


def slug(text: str, fill: str = "_", keep: str = "._-") -> str:
    """A text for a file's name: `fill` for all but letters, digits and what to keep."""
    return re.sub(f"[^A-Za-z0-9{re.escape(keep)}]+", fill, text)


def in_words(value: Any) -> str:
    """A setting for a label or a cell."""
    if _is_stages(value):
        return stages_in_words(value)
    if isinstance(value, dict):
        return " ".join(f"{key}={in_words(inner)}" for key, inner in value.items()) or "{}"
    return value if isinstance(value, str) else json.dumps(value)


def stages_in_words(value: list[dict[str, Any]]) -> str:
    """The stages of a run (`train.stages`) for a label: vgg_a:5+vgg_b:3, epochs after the colon;
    options and frozen layers are told apart, too."""
    words = []
    for stage in value:
        options = [f"{k}={in_words(v)}" for k, v in stage["model"].get("options", {}).items()]
        options += [f"freeze={in_words(stage['freeze'])}"] if stage.get("freeze") else []
        inside = f"({', '.join(options)})" if options else ""
        words.append(f"{stage['model']['name']}{inside}:{stage['epochs']}")
    return "+".join(words)


def _is_stages(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(x, dict) and {"model", "epochs"} <= set(x) for x in value)
    )


def round_values(low: float, high: float, log: bool = False, about: int = 5) -> list[float]:
    """About so many round numbers within a range, whichever end comes first."""
    low, high = min(low, high), max(low, high)
    if high == low:
        return [low]
    if log:
        reach = math.log10(high / low)
        steps = (1, 2, 5) if reach < 1.6 else (1, 3) if reach < 2.5 else (1,)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        values = [float(f"{step}e{power}") for power in powers for step in steps]
        skip = math.ceil(reach / 6)  # every power of a range of up to six
        values = [value for value in values if low * 0.999 <= value <= high * 1.001]
        return values[::skip] if steps == (1,) else values
    rough = (high - low) / about
    ten = 10 ** math.floor(math.log10(rough))
    step = next(s * ten for s in (1, 2, 2.5, 5, 10) if s * ten >= 0.8 * rough)
    count = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return [round(i * step, 12) for i in count]
