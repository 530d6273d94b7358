"""TensorFlow without its start-up notes, which no log level keeps off a terminal."""

import os
import sys
from tempfile import TemporaryFile


def import_tensorflow() -> None:
    """Imports TensorFlow with the C++ side's stderr held back; shown if the import fails.

    TensorFlow 2.21 logs before it has read TF_CPP_MIN_LOG_LEVEL, straight to file
    descriptor 2, so neither that variable nor `sys.stderr` can silence it.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            import tensorflow

            # It takes the trainable parts' methods for one function that is traced again and again.
            tensorflow.get_logger().setLevel("ERROR")
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
