"""Plain PyTorch beside the networks of `ilsvrc bench train|infer`; import only where PyTorch is.

torchvision's ResNets written out, images and weights channels last, the loop as its tutorials have
it. In bfloat16 weights stay in float32 (autocast), as in Keras's mixed policy, unless asked.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import models
from experiments.bench import device
from experiments.config import settings
from experiments.errors import FailedWork

UNITS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50_v1_5": (3, 4, 6, 3),
    "resnet101_v1_5": (3, 4, 23, 3),
    "resnet152_v1_5": (3, 8, 36, 3),
}


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


class PyTorch:
    """The network of a job of `model_worker`, as its `Inference` and `Training` have it.

    Raises:
        FailedWork: a network, option or precision that is not written here.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        name, train = job["name"], settings.parse(job["config"]).train
        if name not in UNITS or job["options"]:
            raise FailedWork(f"plain PyTorch has {', '.join(UNITS)} here, without model.options")
        if job["precision"] == "float16" or train.optimizer.name != "sgd":
            raise FailedWork("plain PyTorch trains here by sgd, in float32 or bfloat16")
        classes, bottleneck = job["classes"], name.endswith("_v1_5")
        self.network = models.outline(name, input_shape=job["input_shape"], classes=classes)
        self.net = ResNet(UNITS[name], bottleneck, 1.0, classes).to(
            memory_format=torch.channels_last
        )
        self.bfloat16 = job["precision"] == "bfloat16"
        self.whole = job["side"] == "pytorch_bfloat16"
        if self.whole:
            self.net = self.net.to(torch.bfloat16)
        self.training, self.threads = job["mode"] == "train", job["threads"]
        self.net.to("cuda" if torch.cuda.is_available() else "cpu").train(self.training)
        self.rule = torch.optim.SGD(
            self.net.parameters(),
            lr=train.optimizer.learning_rate,
            momentum=train.optimizer.momentum,
        )

    def step(self, images: Any, labels: Any) -> Any:
        if not self.training:
            with torch.inference_mode():
                return self._logits(images)
        self.rule.zero_grad()
        loss = nn.functional.cross_entropy(self._logits(images), labels.long())
        loss.backward()
        self.rule.step()
        return loss.detach()

    def _logits(self, images: Any) -> Any:
        x = ((images - 127.5) / 73.6).permute(0, 3, 1, 2)  # as it lies, it is channels last
        with torch.autocast(
            x.device.type, torch.bfloat16, enabled=self.bfloat16 and not self.whole
        ):
            return self.net(x.to(torch.bfloat16) if self.whole else x).float()

    def facts(self) -> dict[str, Any]:
        """What the network costs by count, and where it runs. Raises FailedWork if not the same."""
        kind = "bfloat16 weights" if self.whole else "autocast" if self.bfloat16 else ""
        framework = f"pytorch {torch.__version__} channels last {kind}".strip()
        counted = device.facts(self.network, self.threads, framework)
        params = sum(p.numel() for p in self.net.parameters())
        if params != counted["params"]:
            raise FailedWork(f"PyTorch's {params:,} weights are not our {counted['params']:,}")
        return counted
