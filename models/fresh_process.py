"""Run as a script, without this project: predictions of exported models, as JSON.

Usage: python -I fresh_process.py IMAGES.npy EXPORT...

Each export is answered by its own runtime, and only that is imported: a `.tflite` and an `.onnx`
file must do without TensorFlow.
"""

import json
import sys
from pathlib import Path

import numpy as np


def by_keras(export: str, images: np.ndarray) -> np.ndarray:
    """A `.keras` file."""
    import keras

    return np.asarray(keras.models.load_model(export)(images, training=False))


def by_tensorflow(export: str, images: np.ndarray) -> np.ndarray:
    """A SavedModel folder."""
    import tensorflow as tf

    loaded = tf.saved_model.load(export)  # its variables live as long as this name
    return np.asarray(loaded.serve(images))


def by_litert(export: str, images: np.ndarray) -> np.ndarray:
    """A LiteRT file."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=export)
    given = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(given, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given, images)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def by_onnx(export: str, images: np.ndarray) -> np.ndarray:
    """An ONNX file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(export, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0])


RUNTIMES = {".keras": by_keras, "": by_tensorflow, ".tflite": by_litert, ".onnx": by_onnx}

if __name__ == "__main__":
    pixels = np.load(sys.argv[1])
    answers = [RUNTIMES[Path(export).suffix](export, pixels).tolist() for export in sys.argv[2:]]
    print(json.dumps(answers))
