"""Run as a script, without this project: predictions of exported models, as JSON.

Usage: python -I fresh_process.py IMAGES.npy EXPORT...

Only the runtime of an export is imported: a `.tflite` and an `.onnx` file run without TensorFlow.
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

    loaded = tf.saved_model.load(export)  # keeps its variables alive
    return np.asarray(loaded.serve(images))


def by_litert(export: str, images: np.ndarray) -> np.ndarray:
    """A LiteRT file."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=export)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, images)
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
    predicted = [RUNTIMES[Path(export).suffix](export, pixels).tolist() for export in sys.argv[2:]]
    print(json.dumps(predicted))
