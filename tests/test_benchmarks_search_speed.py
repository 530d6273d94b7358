import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from concrete_study.search.schedule import hyperband_schedule, total_epochs, total_trials

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ONE_ARCHITECTURE = "head_units = 0\nunfreeze_depth = 1\n"
IMAGES = {"train": 70, "validation": 15}


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def contenders() -> Any:
    return importlib.import_module("contenders")


@pytest.fixture
def extrapolation() -> Any:
    return importlib.import_module("extrapolation")


@pytest.fixture
def table() -> Any:
    return importlib.import_module("table")


def trial(name: str, depth: int, epochs: int, *, round: int = 0) -> dict[str, Any]:
    hyperparameters = {"head_units": 0, "dropout": 0.1, "unfreeze_depth": depth}
    hyperparameters |= {"head_learning_rate": 1e-3} | (
        {"fine_tune_learning_rate": 1e-5} if depth else {}
    )
    return {"trial": name, "hyperparameters": hyperparameters, "epochs": epochs, "round": round}


def timed(name: str, depth: int, epochs: int, rates: dict[int, float]) -> dict[str, Any]:
    """A trial of 3 s set-up whose first epoch of each phase takes 2 s more."""
    head = -(-epochs // 2) if depth else epochs
    counts = {1: head, 2: epochs - head}
    key = {1: 0, 2: depth}
    seconds = [(p, rates[key[p]] + 2 * (n == 0)) for p in (1, 2) for n in range(counts[p])]
    measured = {"epoch_seconds": seconds, "seconds": 3 + sum(s for _, s in seconds)}
    return trial(name, depth, epochs) | measured


@pytest.mark.slow
def test_smoke_run_compares_equal_trials_and_prints_ratios(
    real_images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, space = tmp_path / "rows.jsonl", tmp_path / "space.toml"
    space.write_text(ONE_ARCHITECTURE)
    options = [
        "--smoke",
        "--data",
        str(real_images),
        "--space",
        str(space),
        "--baseline-trials",
        "1",
    ]
    # Every contender starts a TensorFlow of its own, which is most of what this test takes.
    options += ["--contenders", "baseline", "lower-bound", "ours", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["search_speed.py", *options])
    importlib.import_module("search_speed").main()

    rows = {row["contender"]: row for row in map(json.loads, output.read_text().splitlines())}
    assert list(rows) == ["ours", "lower-bound", "baseline"]
    ours, bound, baseline = rows.values()
    assert ours["trials_sha256"] == baseline["trials_sha256"]
    schedule = hyperband_schedule(4)
    counts = total_trials(schedule), total_epochs(schedule)
    assert (ours["trials"], ours["epochs"]) == (baseline["trials"], baseline["epochs"]) == counts
    assert baseline["forward_passes"] > ours["forward_passes"] > 0
    assert baseline["extrapolated"] and baseline["trained_trials"] == 1
    assert baseline["seconds"] > baseline["measured_seconds"]
    assert baseline["best_val_loss"] > 0  # the one trained has two epochs of each phase
    assert bound["seconds"] < ours["seconds"]
    for row in rows.values():
        assert row["seconds"] > 0 and row["cpu_seconds"] > 0 and row["peak_mb"] > 100
    header, _, ratios, *_ = capsys.readouterr().out.splitlines()
    assert header.startswith("| images | precision | baseline / ours | baseline / ours-again |")
    assert f"baseline extrapolated from 1 of {counts[0]} trials" in ratios
    cells = ratios.split("|")
    assert float(cells[3]) == pytest.approx(baseline["seconds"] / ours["seconds"], rel=0.01)
    assert cells[4].strip() == ""


def test_ours_cannot_be_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["search_speed.py", "--contenders", "baseline"])
    with pytest.raises(SystemExit, match="2"):
        importlib.import_module("search_speed").parse_arguments()
    assert "--contenders needs ours" in capsys.readouterr().err


def test_trials_that_differ_end_the_run(contenders: Any) -> None:
    ours = [trial("0000", 1, 2), trial("0001", 0, 4, round=1)]
    promoted_another = [ours[0], trial("0001", 3, 4, round=1)]
    contenders.check_equal(ours, list(reversed(ours)))
    contenders.check_equal(ours, promoted_another, resumed=True)
    with pytest.raises(SystemExit, match="Expected the trials"):
        contenders.check_equal(ours, promoted_another)
    with pytest.raises(SystemExit, match="Expected the trials"):
        contenders.check_equal(ours, [trial("0000", 2, 2), ours[1]], resumed=True)


def test_resumed_trials_skip_their_parents_epochs(extrapolation: Any) -> None:
    assert extrapolation.phase_epochs(trial("0000", 3, 10)) == {0: 5, 3: 5}
    assert extrapolation.phase_epochs(trial("0001", 3, 10) | {"skipped": 4}) == {0: 1, 3: 5}
    assert extrapolation.phase_epochs(trial("0002", 3, 4) | {"skipped": 2}) == {0: 0, 3: 2}
    assert extrapolation.phase_epochs(trial("0003", 3, 10) | {"skipped": 7}) == {0: 0, 3: 3}
    assert extrapolation.phase_epochs(trial("0004", 0, 10) | {"skipped": 4}) == {0: 6}


def test_extrapolation_recovers_the_times_it_is_based_on(extrapolation: Any) -> None:
    rates = {0: 10.0, 1: 11.0, 3: 13.0}
    known = [timed("0000", 3, 4, rates), timed("0001", 1, 4, rates), timed("0002", 0, 2, rates)]
    wanted = [timed("0003", 3, 10, rates), timed("0004", 0, 10, rates)]
    expected = sum(trial["seconds"] for trial in wanted)
    assert extrapolation.predict_seconds(known, wanted, IMAGES) == pytest.approx(expected)
    assert extrapolation.predict_seconds(known, [], IMAGES) == 0
    # A depth that was not timed lies between its neighbours.
    between = extrapolation.predict_seconds(known, [trial("0005", 2, 10)], IMAGES)
    assert between == pytest.approx(3 + 2 * 2 + 5 * 10 + 5 * 12, rel=0.05)


def test_timed_trials_cover_every_depth(extrapolation: Any) -> None:
    trials = [trial(f"{n:04}", n % 4, 2 if n < 12 else 4) for n in range(18)]
    by_name = {t["trial"]: t for t in trials}
    chosen = extrapolation.choose_trials(trials, 6, 1)
    assert chosen == extrapolation.choose_trials(trials, 6, 1)
    assert len(set(chosen)) == 6
    first = [by_name[name] for name in chosen[:4]]
    assert [t["hyperparameters"]["unfreeze_depth"] for t in first] == [3, 2, 1, 0]
    assert {t["epochs"] for t in first} == {4}
    assert len(extrapolation.choose_trials(trials, 100, 1)) == 18


def test_subset_is_stratified_and_seeded(
    contenders: Any, real_images: Path, tmp_path: Path
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        contenders.link_images(real_images, tmp_path / name, 11, seed)
    names = [
        sorted(str(p.relative_to(tmp_path / name)) for p in (tmp_path / name).rglob("*.jpg"))
        for name in "abc"
    ]
    assert names[0] == names[1] != names[2]
    assert sorted(sum(label in n for n in names[0]) for label in ("Negative/", "Positive/")) == [
        5,
        6,
    ]


def test_table_has_blanks_for_what_did_not_run(table: Any) -> None:
    rows = [{"a": 0.12345, "b": 1234.5}, {"a": None, "b": 7}]
    lines = table.table(rows, ["a", "b"]).splitlines()
    assert lines[2:] == ["| 0.123 | 1234 |", "|  | 7 |"]
