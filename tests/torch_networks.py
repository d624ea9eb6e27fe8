"""torchvision's AlexNet and ResNets written out, as references; import only where PyTorch is."""

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


class Block(nn.Module):
    """Two 3x3, or 1x1, 3x3 with the stride, 1x1 to four times the maps."""

    def __init__(self, before: int, maps: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        after = 4 * maps if bottleneck else maps
        rows = [(before, maps, 3, stride), (maps, maps, 3, 1)]
        if bottleneck:
            rows = [(before, maps, 1, 1), (maps, maps, 3, stride), (maps, after, 1, 1)]
        self.count = len(rows)
        for number, (i, o, k, s) in enumerate(rows, start=1):
            setattr(self, f"conv{number}", nn.Conv2d(i, o, k, s, padding=k // 2, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(o))
        self.downsample = nn.Sequential()
        if stride > 1 or before != after:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Any) -> Any:
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = torch.relu(y) if number < self.count else y
        return torch.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """`units` a layer of 64, 128, 256, 512 times `width` maps."""

    def __init__(
        self, units: tuple[int, ...], bottleneck: bool, width: float, classes: int
    ) -> None:
        super().__init__()
        maps = [round(count * width) for count in (64, 128, 256, 512)]
        self.conv1 = nn.Conv2d(3, maps[0], 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(maps[0])
        before = maps[0]
        for number, count in enumerate(units, start=1):
            blocks = []
            for unit in range(count):
                stride = 2 if unit == 0 and number > 1 else 1
                blocks.append(Block(before, maps[number - 1], stride, bottleneck))
                before = maps[number - 1] * (4 if bottleneck else 1)
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.fc = nn.Linear(before, classes)

    def forward(self, x: Any) -> Any:
        x = torch.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
        for number in range(1, 5):
            x = getattr(self, f"layer{number}")(x)
        return self.fc(x.mean(dim=(2, 3)))
