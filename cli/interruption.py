"""Ctrl-C and SIGTERM, of which none is lost."""

import signal
from types import FrameType

_seen = False


def catch_signals() -> None:
    """Turns SIGTERM, as a cluster sends it, into what Ctrl-C is: KeyboardInterrupt.

    An ignored SIGINT (a job in the background) stays ignored.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)


def raise_if_interrupted() -> None:
    """Raises KeyboardInterrupt if one was raised before and did not end the program.

    Python drops an exception that is raised while a destructor runs, and TensorFlow's graphs
    have such: a SIGTERM that fell into one was once ignored for the rest of a training.
    """
    if _seen:
        raise KeyboardInterrupt


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    global _seen
    _seen = True
    raise KeyboardInterrupt
