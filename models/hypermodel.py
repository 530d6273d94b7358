"""A plain Keras Tuner hypermodel: the whole VGG16 network, trained by the two-phase recipe."""

from typing import Any

import keras
import keras_tuner

from concrete_study.models.backbone import build_backbone, load_weights
from concrete_study.models.configuration import Configuration
from concrete_study.models.network import head_input, head_layers, set_trainable
from concrete_study.models.recipe import plan_phases


class VGG16HyperModel(keras_tuner.HyperModel):  # type: ignore[misc]
    """VGG16 without its top and a head, for any tuner of Keras Tuner.

    Every image takes a forward pass through the whole network in every epoch; `study search` gives
    the same scores from stored features. The hyperparameters `head_units`, `dropout`,
    `unfreeze_depth`, `head_learning_rate` and, at an unfreeze depth above 0,
    `fine_tune_learning_rate` have to be in the tuner's space; `feature_layers`, `feature_scaling`
    (not `standardised`), `pooling` and `image_size`, to which images are then resized, may be:

        space = keras_tuner.HyperParameters()
        space.Choice("head_units", [0, 128])
        space.Float("dropout", 0.0, 0.6)
        space.Choice("unfreeze_depth", [0, 1, 3])
        space.Float("head_learning_rate", 1e-5, 1e-2, sampling="log")
        space.Float("fine_tune_learning_rate", 1e-6, 1e-4, sampling="log")
        model = VGG16HyperModel(image_size=224, classes=2)
        tuner = keras_tuner.Hyperband(
            model, objective="val_loss", max_epochs=10, hyperparameters=space
        )
        tuner.search(train, validation_data=validation)

    `train` and `validation` are batches of RGB images (batch, size, size, 3) in 0..255 and integer
    labels (batch,).

    Args:
        image_size: Height and width of the images in pixels, at least 32.
        classes: At least 2.
        weights: As `models.backbone.load_weights` takes them, e.g. `bundled`.
        augment: Whether to flip and rotate the training images.
        policy: Keras dtype policy of the backbone, `float32` or `mixed_bfloat16`.
    """

    def __init__(
        self,
        *,
        image_size: int,
        classes: int,
        weights: str = "bundled",
        augment: bool = True,
        policy: str = "float32",
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.classes = classes
        self.weights = load_weights(weights)
        self.augment = augment
        self.policy = policy

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The network with a frozen backbone, compiled for phase 1."""
        configuration = configuration_of(hp, self.image_size)
        size = configuration.image_size
        backbone = build_backbone(self.weights, size=size, policy=self.policy)
        backbone.trainable = False
        pooled = head_input(backbone, configuration.architecture(configuration.unfreeze_depth))
        x = image = keras.Input((self.image_size, self.image_size, 3), name="image")
        if self.augment:
            x = keras.layers.RandomFlip(dtype="float32")(x)
            x = keras.layers.RandomRotation(0.3, dtype="float32")(x)
        if size != self.image_size:
            x = keras.layers.Resizing(size, size, dtype="float32")(x)
        x = keras.Model(backbone.input, pooled, name="vgg16")(x, training=False)
        for layer in head_layers(configuration, self.classes):
            x = layer(x)
        model = keras.Model(image, x)
        _compile(model, keras.optimizers.Adam(configuration.head_learning_rate))
        return model

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        epochs: int = 1,
        initial_epoch: int = 0,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains both phases.

        Args:
            hp: The trial's hyperparameters.
            model: From `build`.
            *args: For `keras.Model.fit`.
            epochs: Of both phases together.
            initial_epoch: Epochs that are skipped: those of the trial's parent in Hyperband.
            **kwargs: For `keras.Model.fit`.

        Returns:
            The history of both phases.
        """
        metrics: dict[str, list[float]] = {}
        end = 0
        for phase in plan_phases(configuration_of(hp, self.image_size), epochs):
            end += phase.epochs
            if initial_epoch >= end:
                continue
            if phase.number == 2:
                backbone = model.get_layer("vgg16")
                backbone.trainable = True
                set_trainable(backbone, phase.unfreeze_depth)
                _compile(model, keras.optimizers.RMSprop(phase.learning_rate))
            history = model.fit(*args, epochs=end, initial_epoch=initial_epoch, **kwargs)
            for name, values in history.history.items():
                metrics.setdefault(name, []).extend(values)
            initial_epoch = end
        history.history = metrics
        return history


def configuration_of(hp: keras_tuner.HyperParameters, image_size: int) -> Configuration:
    """The configuration of a trial; a fine-tuning learning rate only if something is unfrozen.

    Args:
        hp: The trial's hyperparameters.
        image_size: Of the images, if it is not among them.
    """
    layers: dict[str, Any] = {
        name: hp.get(name)
        for name in ("feature_layers", "feature_scaling", "pooling")
        if name in hp
    }
    depth = hp.get("unfreeze_depth")
    return Configuration(
        head_units=hp.get("head_units"),
        dropout=hp.get("dropout"),
        unfreeze_depth=depth,
        head_learning_rate=hp.get("head_learning_rate"),
        fine_tune_learning_rate=hp.get("fine_tune_learning_rate") if depth else 0.0,
        image_size=hp.get("image_size") if "image_size" in hp else image_size,
        **layers,
    )


def _compile(model: keras.Model, optimizer: keras.Optimizer) -> None:
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
