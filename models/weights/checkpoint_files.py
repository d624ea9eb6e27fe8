"""Tensors by name out of checkpoint files, as float32 arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

SUFFIXES = (".safetensors", ".pth", ".pt")


class CheckpointError(ValueError):
    """The file cannot be read, or its tensors are not those of the network."""


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The tensors of FILE.safetensors, or of FILE.pth or FILE.pt, for which PyTorch is needed.

    A .pth may hold its tensors under "state_dict" or "model", as training scripts write them. It is
    read with weights_only, which runs no code that the file may contain.

    Raises CheckpointError.
    """
    file = Path(path)
    if file.suffix not in SUFFIXES:
        raise CheckpointError(
            f"a checkpoint is a file {', '.join(SUFFIXES)}. Received: {os.fspath(path)!r}"
        )
    if not file.is_file():
        raise CheckpointError(f"no checkpoint at {file}; give the path of an existing file")
    return _safetensors(file) if file.suffix == ".safetensors" else _torch(file)


def _safetensors(file: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(file)
    except (SafetensorError, TypeError, OSError) as error:
        raise CheckpointError(
            f"{file} cannot be read as safetensors of float32 or float16: {error}"
        ) from error
    return {key: np.asarray(tensor, dtype="float32") for key, tensor in tensors.items()}


def _torch(file: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"reading {file} needs PyTorch: pip install torch, or save the tensors as .safetensors"
        ) from error

    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises nearly anything
        reason = next(filter(str.strip, str(error).splitlines()), type(error).__name__)
        raise CheckpointError(
            f"{file} is not a file that torch.load reads with weights_only=True: {reason}"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(torch.is_tensor(t) for t in state.values()):
        raise CheckpointError(
            f"{file} must hold a state dict, tensors by name. Received: {type(state).__name__}"
        )
    return {key: tensor.detach().float().numpy() for key, tensor in state.items()}
