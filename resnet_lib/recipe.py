"""How to train, as a value: `Recipe`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from .checks import positive_int, real_number, whole_number

_share = partial(real_number, most=1)
_CHECKS = {  # field of a Recipe -> what makes its value the number that it must be
    "epochs": positive_int,
    "batch_size": positive_int,
    "learning_rate": real_number,
    "momentum": _share,
    "weight_decay": real_number,
    "warm_up": whole_number,
    "batch_norm_decay": _share,
    "augment": whole_number,
}


@dataclass(frozen=True)
class Recipe:
    """How to train. He et al. 2015, section 4.2, use 0.1, 0.9, 0.0001, batches of 128, and a tenth of the learning rate
    after half and three quarters of the training.

    batch_size: images a step, at least: an epoch of n images is n // batch_size batches, equal to one image, so that none is
    left over. 1,500 images make one batch for 800, and two for 750. warm_up: a learning rate of a tenth for so many epochs at
    first (they need it for 110 layers). batch_norm_decay: 0.997 is tf-slim's, for hundreds of thousands of steps; with
    hundreds, the moving averages would lag behind. augment: zero pixels put on each side of a training image before it is
    cropped at random and, half of the time, mirrored (they use 4 on CIFAR-10); 0 leaves the images as they are. Numbers of
    NumPy become Python's.
    Raises ValueError, or TypeError for another type, naming the argument that has no such number.
    """

    epochs: int = 15
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0001
    warm_up: int = 0
    batch_norm_decay: float = 0.9
    augment: int = 0

    def __post_init__(self):
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))

    def learning_rate_at(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        tenths = sum([epoch < self.warm_up, epoch >= self.epochs / 2, epoch >= 3 * self.epochs / 4])
        return self.learning_rate * 0.1**tenths


def given_recipe(recipe: Recipe | None) -> Recipe:
    """The recipe, the default one for None. Raises TypeError for anything else."""
    if not isinstance(recipe, Recipe | None):
        raise TypeError(f"recipe must be a Recipe or None, got {recipe!r}")
    return recipe or Recipe()
