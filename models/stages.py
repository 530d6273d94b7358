"""What the network answered before training and after each phase, on the same images."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from datasets.batches import Subset
from models.configuration import Configuration
from models.learner import Network, Weights
from models.network import unfrozen
from models.sources import PLAIN, ImageSource


def predict_stages(
    network: Network,
    configuration: Configuration,
    stages: Mapping[str, Weights],
    subset: Subset,
    *,
    batch_size: int,
    on_images: Callable[[int], None] = lambda count: None,
) -> dict[str, NDArray[np.float32]]:
    """Class probabilities of every stage, in one pass through the frozen part.

    Args:
        network: In the precision to predict in; float32 is that of the exported model.
        configuration: What was trained.
        stages: Weights by stage, from `recipe.Outcome`.
        subset: The images, taken plain.
        batch_size: At least 1.
        on_images: Called with the number of images after each batch.

    Returns:
        By stage, probabilities of shape (images, classes) in the subset's order.
    """
    learner = network.learner(configuration.head_units, configuration.unfreeze_depth)
    network.restore()
    # A stage from before phase 2 has the base's own weights where later ones have trained.
    untrained: Weights = {
        name: list(network.weights.layers[name]) for name in unfrozen(configuration.unfreeze_depth)
    }
    answers: dict[str, list[NDArray[np.float32]]] = {stage: [] for stage in stages}
    source = ImageSource(network, subset)
    order = np.arange(len(subset))
    for features, labels in source.batches(
        learner.cut, epoch=PLAIN, order=order, batch_size=batch_size
    ):
        for stage, weights in stages.items():
            learner.load(untrained | weights)
            answers[stage].append(learner.predict(features))
        on_images(len(labels))
    return {stage: np.concatenate(batches) for stage, batches in answers.items()}
