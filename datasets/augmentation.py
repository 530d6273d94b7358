"""Augmented views of an image, each a pure function of the image's content and the view's number.

View 0 is unaugmented. Every other view flips the image left-right and up-down, each with
probability 0.5, and rotates it by up to 0.3 of a full turn (108 degrees) in either direction, as
the reference recipe does with Keras' `RandomFlip` and `RandomRotation(0.3)`; edges are filled by
reflection.
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

# Part of the key of stored features: change it when the views change.
AUGMENTATION = "flip-rotate-0.3-reflect-v2"
ROTATION = 0.3  # of a full turn, in either direction


def view_transforms(digests: Sequence[str], view: int, size: int) -> NDArray[np.float32]:
    """Projective transforms (output pixel -> input pixel) of one view of several images.

    Args:
        digests: SHA-256 of each image's file, hexadecimal.
        view: At least 0; 0 is unaugmented.
        size: Height and width of the images in pixels.

    Returns:
        Shape (images, 8), as `ImageProjectiveTransformV3` takes them.
    """
    return np.stack([_transform(digest, view, size) for digest in digests])


def _transform(digest: str, view: int, size: int) -> NDArray[np.float32]:
    if view == 0:
        return np.array([1, 0, 0, 0, 1, 0, 0, 0], np.float32)
    # Philox is counter-based: its stream depends only on the key, on every machine.
    key = np.array([int(digest[:16], 16), view], np.uint64)
    random = np.random.Generator(np.random.Philox(key=key))
    flip_x, flip_y, turn = random.random(3)
    angle = (2 * turn - 1) * ROTATION * 2 * math.pi
    mirror_x = -1.0 if flip_x < 0.5 else 1.0
    mirror_y = -1.0 if flip_y < 0.5 else 1.0
    matrix = np.array(
        [
            [mirror_x * math.cos(angle), -mirror_x * math.sin(angle)],
            [mirror_y * math.sin(angle), mirror_y * math.cos(angle)],
        ]
    )
    centre = np.full(2, (size - 1) / 2)
    shift = centre - matrix @ centre
    rows = np.column_stack([matrix, shift]).reshape(-1)
    return np.concatenate([rows, [0, 0]]).astype(np.float32)


def apply_transforms(images: tf.Tensor, transforms: tf.Tensor) -> tf.Tensor:
    """Transforms a batch bilinearly, reflecting at the edges.

    Args:
        images: (batch, size, size, 3), any number type, 0..255.
        transforms: (batch, 8) float32, from `view_transforms`.

    Returns:
        (batch, size, size, 3) float32 in 0..255.
    """
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=transforms,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
