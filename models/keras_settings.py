"""Keras' settings, which a user may have changed for other programs.

They come from the environment variable KERAS_BACKEND and from `keras.json` in KERAS_HOME.
"""

import json
import os
from pathlib import Path
from typing import Any

from concrete_study.datasets.errors import ResourceError

BACKEND = "tensorflow"
SETTINGS = {"image_data_format": "channels_last", "floatx": "float32", "epsilon": 1e-7}


def set_backend() -> list[str]:
    """Chooses TensorFlow as Keras' backend; call it before Keras is imported.

    Returns:
        The setting that was overridden, e.g. "backend torch"; empty if there was none.
    """
    found = os.environ.get("KERAS_BACKEND") or _stored().get("backend", BACKEND)
    os.environ["KERAS_BACKEND"] = BACKEND
    return [f"backend {found}"] if found != BACKEND else []


def set_formats() -> list[str]:
    """Sets the image layout, float type and epsilon that the network is built for.

    Returns:
        The settings that were overridden, e.g. "floatx float16".

    Raises:
        ResourceError: If Keras was imported with another backend.
    """
    import keras

    if (backend := keras.config.backend()) != BACKEND:
        raise ResourceError(
            f"Keras was imported with the backend {backend}.",
            f"Expected {BACKEND}.",
            f"set the environment variable KERAS_BACKEND to {BACKEND} before Keras is imported.",
        )
    overridden = []
    for name, value in SETTINGS.items():
        if (found := getattr(keras.config, name)()) != value:
            getattr(keras.config, f"set_{name}")(value)
            overridden.append(f"{name} {found}")
    return overridden


def _stored() -> dict[str, Any]:
    """The content of `keras.json`; empty if there is none or it is damaged, as for Keras."""
    home = os.environ.get("KERAS_HOME")
    folder = Path(home) if home else Path("~").expanduser() / ".keras"
    try:
        content = json.loads((folder / "keras.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
