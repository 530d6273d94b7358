"""Importing TensorFlow without its start-up messages, which no log level turns off."""

import os
import sys
from tempfile import TemporaryFile


def import_tensorflow() -> None:
    """Imports TensorFlow with stderr captured; prints it if the import fails.

    TensorFlow 2.21 logs to file descriptor 2 before it reads TF_CPP_MIN_LOG_LEVEL, so neither
    that variable nor `sys.stderr` has an effect.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            import tensorflow

            # It warns of repeated tracing: it takes the methods of all models for one function.
            tensorflow.get_logger().setLevel("ERROR")
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
