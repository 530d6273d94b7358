"""No Ctrl-C and no SIGTERM is lost."""

import subprocess
import sys

SWALLOWED = """
import os, signal
from concrete_study.study.display import Display
from concrete_study.study.interruption import catch_signals

class Graph:
    def __del__(self):
        os.kill(os.getpid(), signal.{name})
        sum(range(100))  # the handler runs in here, and Python drops what it raises

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
catch_signals()
graph = Graph()
del graph
print("continued", flush=True)
with Display() as display, display.counting("images", 3) as done:
    done(1)
print("never", flush=True)
"""


def test_a_signal_during_a_destructor_stops_at_the_next_batch() -> None:
    for name in ("SIGTERM", "SIGINT"):
        script = SWALLOWED.format(name=name)
        result = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert result.stdout == "continued\n"
        assert "KeyboardInterrupt" in result.stderr
        assert result.returncode != 0
