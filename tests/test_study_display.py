"""Progress without a terminal: plain lines on stderr."""

import pytest
from small_report import trial

from concrete_study.cli.errors import option_name
from concrete_study.study.display import FIRST_LINES_APART, Display


def test_the_remaining_time_is_printed_every_so_often_without_the_first_batch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with Display() as display, display.counting("training", 100) as done:
        for seconds in (50.0, *[FIRST_LINES_APART / 2] * 9):  # the first batch compiles
            clock[0] += seconds
            done(10)
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:-1] == [
        "training: 10 images",
        "training: 30 images, about 35 s left",
        "training: 50 images, about 25 s left",
        "training: 70 images, about 15 s left",
        "training: 90 images, about 5 s left",
    ]
    assert lines[-1].startswith("training: 100 images in 95.0 s")


def test_a_step_of_hours_prints_a_line_every_few_minutes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with Display() as display, display.counting("features", 36_000) as done:
        for _ in range(36_000):
            clock[0] += 1
            done(1)
    lines = capsys.readouterr().err.splitlines()
    assert 100 < len(lines) < 200
    assert lines[-2].endswith("left")


def test_a_trial_of_several_folds_prints_its_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    display = Display()
    display.trial_done(trial(1, 10, 0.25, standard_error=0.0123), None)
    display.trial_done(trial(2, 10, 0.25), None)
    first, second = capsys.readouterr().err.splitlines()
    assert "score 0.25000 ± 0.01230 " in first
    assert "score 0.25000 " in second
    assert "±" not in second


def test_a_shorter_search_is_suggested_by_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    Display(option_name).suggest("search_images", 1000, 2400, 9000)
    assert capsys.readouterr().err == (
        "With --search-images 1000, search and retraining together would take about 40 min 00 s "
        "instead of 2 h 30 min.\n"
    )


def test_a_short_step_has_no_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    with Display() as display, display.counting("reading images", 2) as done:
        done(1)
        done(1)
    assert len(capsys.readouterr().err.splitlines()) == 2
