"""Published weights into our networks, layer by layer by name, from other libraries' files.

Images must then be prepared as that library prepares them. torchvision: RGB, 0..1, minus
(0.485, 0.456, 0.406), over (0.229, 0.224, 0.225); timm's inception_v4: RGB, -1..1.
"""

from models.weights.checkpoint_files import CheckpointError
from models.weights.keras_applications import copy_from_keras_applications, load_imagenet
from models.weights.loading import load, load_checkpoint

__all__ = [
    "CheckpointError",
    "copy_from_keras_applications",
    "load",
    "load_checkpoint",
    "load_imagenet",
]
