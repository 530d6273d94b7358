"""Predictions of a network before training, after each phase and at its best epoch."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from concrete_study.datasets.batches import Subset
from concrete_study.models.batch_sources import UNAUGMENTED, ImageSource
from concrete_study.models.configuration import Configuration
from concrete_study.models.head import Weights
from concrete_study.models.network import unfrozen
from concrete_study.models.trainable import Network


def predict_checkpoints(
    network: Network,
    configuration: Configuration,
    checkpoints: Mapping[str, Weights],
    subset: Subset,
    *,
    batch_size: int,
    on_images: Callable[[int], None] = lambda count: None,
) -> dict[str, NDArray[np.float32]]:
    """Class probabilities of every checkpoint, with one forward pass of the frozen backbone.

    Args:
        network: Computes in its precision; float32 is that of the exported model.
        configuration: What was trained.
        checkpoints: Weights by checkpoint.
        subset: The images, which are not augmented.
        batch_size: At least 1.
        on_images: Called with the number of images after each batch.

    Returns:
        By checkpoint, probabilities of shape (images, classes) in the subset's order.
    """
    trainable = network.trainable(configuration.architecture(configuration.unfreeze_depth))
    network.restore()
    # A checkpoint from before phase 2 has no convolutions: they have the backbone's own weights.
    untrained: Weights = {
        name: list(network.weights.layers[name]) for name in unfrozen(configuration.unfreeze_depth)
    }
    predictions: dict[str, list[NDArray[np.float32]]] = {name: [] for name in checkpoints}
    source = ImageSource(network, subset, size=configuration.image_size)
    order = np.arange(len(subset))
    for features, labels in source.batches(
        trainable.feature_layers, epoch=UNAUGMENTED, order=order, batch_size=batch_size
    ):
        for name, weights in checkpoints.items():
            trainable.load(untrained | weights)
            predictions[name].append(trainable.predict(features))
        on_images(len(labels))
    return {name: np.concatenate(batches) for name, batches in predictions.items()}
