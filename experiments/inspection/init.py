"""`ilsvrc init`: a first config for one's own images, the schema for editors, the examples."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

from experiments.config.meant import shipped
from experiments.config.schema import LONGEST_NAME
from experiments.errors import BadInput
from experiments.inspection import budget, first_config, speed
from experiments.inspection.configs import schema_text
from experiments.inspection.proposal import UNKNOWN, settings
from experiments.inspection.survey import Survey, survey
from experiments.presentation.formatting import significant, slug

EXAMPLES = "examples"
UNNAMED = "images"
ROUGH = "within a factor of two or three"


def init(
    folder: Path, source: str | None, minutes: float, *, force: bool = False
) -> dict[str, Any]:
    """Write a commented config, schema.json and the shipped configs into a folder.

    Args:
        source: the images, which are looked at; None: the config is a template.
        minutes: that all runs of the sweep may take on this machine, about.
        force: write over files of other contents.

    Returns:
        Keys: config, files (all that were written), source, images (`Survey`), speed, networks,
        settings (by dotted key), minutes (the estimate), next (what to type, a line each). None
        stands for what is not known without images.

    Raises:
        BadInput: a file is there already, the folder cannot be written, or the images cannot be
            used.
    """
    name = _name(source)
    config = folder / f"{name}.yaml"
    files = _companions(folder)
    if not force:
        _check_free(config, files)
    images = survey(source) if source else None
    measured = speed.measure() if images else None
    if images and measured:
        work = budget.best(images, measured, minutes)
        seconds = budget.seconds_of(work, images, measured)
    else:
        work, seconds = UNKNOWN, None
    chosen = settings(images, work)
    next_lines = _next(config, images)
    head = [*_head(name, images, work, seconds, minutes), *(f"  {line}" for line in next_lines)]
    files = {config: first_config.text(name, head, chosen), **files}
    written = [path for path, text in files.items() if _write(path, text)]
    return {
        "config": str(config),
        "files": [str(path) for path in written],
        "source": source,
        "images": images.as_document() if images else None,
        "speed": dataclasses.asdict(measured) if measured else None,
        "networks": list(work.networks),
        "settings": {key: choice.value for key, choice in chosen.items() if choice.is_set},
        "minutes": seconds / 60 if seconds is not None else None,
        "next": next_lines,
    }


def lines(document: dict[str, Any], minutes: float) -> list[str]:
    """The document for people."""
    said = list(document["images"]["remarks"]) if document["images"] else []
    said.append(f"{document['config']}: {_summary(document)}")
    others = len(document["files"]) - 1
    if others:
        beside = f"{first_config.SCHEMA} for editors, {EXAMPLES}/ with the shipped configs"
        said.append(f"beside it {others} files: {beside}")
    estimate = document["minutes"]
    if estimate is not None and estimate > minutes:
        said.append(
            f"more than the {minutes:g} minutes: no smaller sweep compares anything; take out "
            "seeds or networks, or give it the time"
        )
    return [*said, "next:", *(f"  {line}" for line in document["next"])]


def _summary(document: dict[str, Any]) -> str:
    networks = ", ".join(document["networks"])
    if document["minutes"] is None:
        return f"a template; write your images into data.source ({networks})"
    runs = len(document["networks"]) * len(budget.SEEDS)
    return f"{runs} runs ({networks}), about {_minutes(document['minutes'])}, {ROUGH}"


def _head(
    name: str, images: Survey | None, work: budget.Work, seconds: float | None, minutes: float
) -> list[str]:
    """What the config is for, as paragraphs of the comment at its top."""
    if images is None or seconds is None:
        return [
            f"{name}: networks from old to new on your own images. Write these into data.source; "
            "`ilsvrc init --source SPEC` looks at them and fills in the rest."
        ]
    sweep = f"{len(work.networks)} networks x {len(budget.SEEDS)} seeds"
    return [
        f"{name}: {sweep} on {images.classes:,} classes of one's own images, chosen for "
        f"{minutes:g} minutes.",
        f"On the machine that wrote this it takes about {_minutes(seconds / 60)}, {ROUGH}: counted "
        "from multiply-accumulates and a probe of two seconds, nothing was trained.",
    ]


def _minutes(minutes: float) -> str:
    if minutes > 120:
        return f"{significant(minutes / 60, 2)} hours"
    count = significant(minutes, 2)
    return f"{count} minute{'' if count == '1' else 's'}"


def _next(config: Path, images: Survey | None) -> list[str]:
    """What to type, from the folder in which the command was typed."""
    file = shlex.quote(str(config))
    commands = [f"ilsvrc sweep {file} --dry-run", f"ilsvrc sweep {file}"]
    commands.append(f"ilsvrc compare {config.stem} --out {config.stem}-comparison")
    if images:
        commands.insert(0, f"ilsvrc data preview {file}")
    return commands


def _name(source: str | None) -> str:
    """A name for the experiment and its file: the last part of what the spec names."""
    if not source:
        return UNNAMED
    scheme, _, rest = source.partition(":")
    parts = [part for part in re.split(r"[/\\]", rest.partition(",")[0]) if part.strip(".*")]
    last = parts[-1] if parts and "=" not in parts[-1] else scheme
    name = slug(Path(last).stem, "-").strip("-._")[: LONGEST_NAME // 2]
    return name or UNNAMED


def _companions(folder: Path) -> dict[Path, str]:
    """The schema and the shipped configs as they are written beside the config."""
    examples = folder / EXAMPLES
    files = {
        folder / first_config.SCHEMA: schema_text(),
        examples / first_config.SCHEMA: schema_text(),
    }
    for name, file in shipped().items():
        files[examples / f"{name}.yaml"] = file.read_text(encoding="utf-8")
    return files


def _check_free(config: Path, files: dict[Path, str]) -> None:
    """Refuse to write over what is there, before anything is looked at."""
    changed = [path for path, text in files.items() if path.exists() and not _holds(path, text)]
    for path in [config] if config.exists() else changed[:1]:
        raise BadInput(
            f"{path}: is there already; name another folder, move it away, or write over it with "
            "--force"
        )


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False


def _write(path: Path, text: str) -> bool:
    """Write unless it is there as it is to be; was it written?"""
    if _holds(path, text):
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except (OSError, UnicodeEncodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "a name that is no UTF-8"
        raise BadInput(f"{path}: cannot be written ({why})") from None
    return True
