"""Ctrl-C and SIGTERM, both raised as KeyboardInterrupt and never lost."""

import signal
from types import FrameType

_seen = False


def catch_signals() -> None:
    """Raises KeyboardInterrupt on SIGTERM, which clusters send, as on Ctrl-C.

    An ignored SIGINT (a job in the background) stays ignored.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)


def raise_if_interrupted() -> None:
    """Raises KeyboardInterrupt again if an earlier one did not end the program.

    Python drops an exception raised in a destructor. TensorFlow's graphs have destructors: a
    SIGTERM during one was ignored for the rest of a training.
    """
    if _seen:
        raise KeyboardInterrupt


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    global _seen
    _seen = True
    raise KeyboardInterrupt
