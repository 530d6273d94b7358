"""What the network answered before training and after each phase, on the same images."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.batches import Subset
from concrete_study.models.batch_sources import PLAIN, ImageSource
from concrete_study.models.configuration import Configuration
from concrete_study.models.network import unfrozen
from concrete_study.models.trainable import Network, Weights


def predict_checkpoints(
    network: Network,
    configuration: Configuration,
    checkpoints: Mapping[str, Weights],
    subset: Subset,
    *,
    batch_size: int,
    on_images: Callable[[int], None] = lambda count: None,
) -> dict[str, NDArray[np.float32]]:
    """Class probabilities of every checkpoint, in one pass through the frozen part.

    Args:
        network: In the precision to predict in; float32 is that of the exported model.
        configuration: What was trained.
        checkpoints: Weights by checkpoint, from `recipe.Outcome`.
        subset: The images, taken plain.
        batch_size: At least 1.
        on_images: Called with the number of images after each batch.

    Returns:
        By checkpoint, probabilities of shape (images, classes) in the subset's order.
    """
    trainable = network.trainable(configuration.head_units, configuration.unfreeze_depth)
    network.restore()
    # A checkpoint from before phase 2 has the base's own weights where later ones have trained.
    untrained: Weights = {
        name: list(network.weights.layers[name]) for name in unfrozen(configuration.unfreeze_depth)
    }
    answers: dict[str, list[NDArray[np.float32]]] = {checkpoint: [] for checkpoint in checkpoints}
    source = ImageSource(network, subset)
    order = np.arange(len(subset))
    for features, labels in source.batches(
        trainable.feature_layer, epoch=PLAIN, order=order, batch_size=batch_size
    ):
        for checkpoint, weights in checkpoints.items():
            trainable.load(untrained | weights)
            answers[checkpoint].append(trainable.predict(features))
        on_images(len(labels))
    return {checkpoint: np.concatenate(batches) for checkpoint, batches in answers.items()}
