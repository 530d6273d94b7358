"""Run as a script, without this project: predictions of exported models, as JSON.

Usage: python -I fresh_process.py IMAGES.npy EXPORT...
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf


def predict(export: str, images: np.ndarray) -> np.ndarray:
    """Class probabilities by a `.keras` file or a SavedModel folder."""
    if export.endswith(".keras"):
        return np.asarray(keras.models.load_model(export)(images, training=False))
    loaded = tf.saved_model.load(export)  # its variables live as long as this name
    return np.asarray(loaded.serve(images))


if __name__ == "__main__":
    pixels = np.load(sys.argv[1])
    print(json.dumps([predict(export, pixels).tolist() for export in sys.argv[2:]]))
