"""Calibration of a trained network by one temperature, which its output layer takes up."""

import numpy as np

from concrete_study.models.head import Weights
from concrete_study.models.recipe import predict
from concrete_study.results.calibration import Scaling, fit_temperature
from concrete_study.results.evaluation import checkpoint_scores
from concrete_study.results.evaluation_records import Calibration, Scores
from concrete_study.results.positive_class import class_index, find_positive_class
from concrete_study.study.trial_training import TrialTraining

OUTPUT_LAYER = "probabilities"


def calibrate(job: TrialTraining, trained: Weights) -> tuple[Weights, Calibration]:
    """Fits a temperature to the validation images, and the same images under each shift.

    Why both, and why confidence is limited: `docs/decisions/026-calibration.md`.

    Args:
        job: The training.
        trained: The weights of its best epoch.

    Returns:
        The weights with a calibrated output layer, and what calibration changes.
    """
    network, configuration = job.network, job.configuration
    trainable = network.trainable(configuration.architecture(configuration.unfreeze_depth))
    network.restore()
    trainable.load(trained)
    sources, batch_size = job.validation_sources, job.options.batch_size
    predicted = np.stack([predict(trainable, source, batch_size) for source in sources])
    labels = sources[0].subset.labels
    temperature = fit_temperature(predicted, labels)
    cooled = Scaling.of_temperature(temperature, len(job.classes))
    positive = find_positive_class(job.classes, job.manifest.positive_class)
    number = class_index(job.classes, positive)
    subsets = {"validation": predicted[:1], "shifted validation": predicted[1:]}

    def scores(scaling: Scaling) -> dict[str, Scores]:
        return {
            name: checkpoint_scores(
                np.tile(labels, len(parts)), scaling.apply(np.concatenate(parts)), number
            )
            for name, parts in subsets.items()
        }

    record = Calibration(
        temperature=temperature,
        images=len(labels),
        before=scores(Scaling.of_temperature(1.0, len(job.classes))),
        after=scores(cooled),
    )
    return trained | {OUTPUT_LAYER: list(cooled.of_layer(*trained[OUTPUT_LAYER]))}, record
