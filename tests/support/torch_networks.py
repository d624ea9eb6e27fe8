"""torchvision's AlexNet written out, as a reference; import only where PyTorch is."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def alexnet(width: float, maps: int, classes: int) -> nn.Module:
    """`maps`: positions of the last map, 36 at 224 x 224, where torchvision pools nothing."""
    a, b, c, d, units = (round(count * width) for count in (64, 192, 384, 256, 4096))
    return _AlexNet(a, b, c, d, units, maps, classes)


class _AlexNet(nn.Module):
    def __init__(self, a: int, b: int, c: int, d: int, units: int, maps: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, a, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(b, c, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(c, d, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(d, d, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        self.classifier = nn.Sequential(
            *(nn.Dropout(), nn.Linear(d * maps, units), nn.ReLU()),
            *(nn.Dropout(), nn.Linear(units, units), nn.ReLU()),
            nn.Linear(units, classes),
        )

    def forward(self, x: Any) -> Any:
        return self.classifier(torch.flatten(self.features(x), 1))
