"""Importing TensorFlow and Keras: without start-up messages, and with the settings they need."""

import os
import sys
from tempfile import TemporaryFile


def import_tensorflow() -> None:
    """Imports TensorFlow and Keras with stderr captured; prints it if the import fails.

    Prints which of the user's Keras settings are overridden.

    TensorFlow 2.21 logs to file descriptor 2 before it reads TF_CPP_MIN_LOG_LEVEL, so neither
    that variable nor `sys.stderr` has an effect.
    """
    from concrete_study.models.keras_settings import BACKEND, SETTINGS, set_backend, set_formats

    # Errors of the C++ side (no GPU, no half precision) mislead; Python's exceptions suffice.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    overridden = set_backend()
    sys.stderr.flush()
    terminal = os.dup(2)
    with TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            import tensorflow

            # It warns of repeated tracing: it takes the methods of all models for one function.
            tensorflow.get_logger().setLevel("ERROR")
            overridden += set_formats()
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
    if overridden:
        needed = ", ".join(map(str, (BACKEND, *SETTINGS.values())))
        print(
            f"Keras settings overridden: {', '.join(overridden)}; used: {needed}.", file=sys.stderr
        )
