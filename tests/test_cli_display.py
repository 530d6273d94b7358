"""Progress without a terminal: plain lines on stderr."""

import pytest

from concrete_study.cli.display import ESTIMATE_AFTER, Display


def test_the_remaining_time_is_estimated_once_without_the_first_batch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with Display() as display, display.counting("training", 100) as done:
        for seconds in (50.0, *[ESTIMATE_AFTER] * 9):  # the first batch compiles
            clock[0] += seconds
            done(10)
    lines = capsys.readouterr().err.splitlines()
    # The third batch is the first at which more than that has passed since the first one.
    assert lines[1:-1] == ["training: 30 images, about 2 min 20 s left"]
    assert lines[-1].startswith("training: 100 images in 230.0 s")


def test_a_short_step_has_no_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    with Display() as display, display.counting("reading images", 2) as done:
        done(1)
        done(1)
    assert len(capsys.readouterr().err.splitlines()) == 2
