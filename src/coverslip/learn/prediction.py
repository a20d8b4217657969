"""Predict: what a trained model says of a slide, whoever its neighbours are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from coverslip.learn.bags import Bag, bag_coords, bag_tensor
from coverslip.learn.models.model import MILModel


@dataclass(frozen=True)
class Prediction:
    """A model's word on one slide.

    Attributes:
        slide_id: The slide.
        probabilities: (C,), averaged over partitions; None for a slide without patches.
        spread: (C,), standard deviation over partitions.
        attention: (n,), tier-1 attention over the whole slide, summing to one.
        patch_probabilities: (n, C), what tier 1 says of each patch alone.
    """

    slide_id: str
    probabilities: npt.NDArray[np.float64] | None
    spread: npt.NDArray[np.float64] | None
    attention: npt.NDArray[np.float32]
    patch_probabilities: npt.NDArray[np.float32]

    def decide(self, classes: Sequence[str], threshold: float) -> str:
        """Return the predicted class, or "no tissue".

        Of two classes the last is predicted from `threshold` on; of more, the likeliest.
        """
        if self.probabilities is None:
            return "no tissue"
        if len(classes) == 2:
            return classes[int(self.probabilities[1] >= threshold)]
        return classes[int(self.probabilities.argmax())]


def predict_bag(model: MILModel, bag: Bag, partitions: Sequence[int]) -> Prediction:
    """Predict one slide, averaging over seeded partitions (seed 3.2, "MultipleMean").

    The same slide gets the same score alone, in any order of its patches, and in any
    batch: nothing but its own patches and the recorded seeds enters.

    Args:
        model: A trained model.
        bag: The slide's features.
        partitions: Seeds of the partitions.
    """
    n_classes = model.n_classes
    if len(bag) == 0:
        empty = np.empty(0, np.float32)
        return Prediction(
            bag.slide_id, None, None, empty, np.empty((0, n_classes), "f4")
        )
    device = next(model.parameters()).device
    output = model.predict(bag_tensor(bag).to(device), partitions, bag_coords(bag))
    probabilities = output.probabilities.double().cpu().numpy()
    return Prediction(
        slide_id=bag.slide_id,
        probabilities=probabilities.mean(axis=0),
        spread=probabilities.std(axis=0),
        attention=output.attention.float().cpu().numpy(),
        patch_probabilities=output.patch_probabilities.float().cpu().numpy(),
    )
