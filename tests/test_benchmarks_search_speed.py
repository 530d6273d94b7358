import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
IMAGES = {"train": 70, "validation": 15}


@pytest.fixture
def search_speed(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("search_speed")


@pytest.fixture
def stock(search_speed: Any) -> Any:
    return importlib.import_module("stock")


def trial(name: str, depth: int, epochs: int, *, round: int = 0) -> dict[str, Any]:
    settings = {"head_units": 0, "dropout": 0.1, "unfreeze_depth": depth}
    return {"trial": name, "settings": settings, "epochs": epochs, "round": round}


def timed(name: str, depth: int, epochs: int, rates: dict[int, float]) -> dict[str, Any]:
    """A trial of 3 s set-up whose first epoch of each phase takes 2 s more."""
    head = -(-epochs // 2) if depth else epochs
    counts = {1: head, 2: epochs - head}
    key = {1: 0, 2: depth}
    seconds = [(p, rates[key[p]] + 2 * (n == 0)) for p in (1, 2) for n in range(counts[p])]
    measured = {"epoch_seconds": seconds, "seconds": 3 + sum(s for _, s in seconds)}
    return trial(name, depth, epochs) | measured


def test_smoke_run_compares_equal_trials_and_prints_ratios(
    real_images: Path, tmp_path: Path
) -> None:
    output = tmp_path / "rows.jsonl"
    options = ["--smoke", "--lower-bound", "--stock-trials", "2", "--output", str(output)]
    command = [sys.executable, str(BENCHMARKS / "search_speed.py"), "--data", str(real_images)]
    run = subprocess.run([*command, *options], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    rows = {row["contender"]: row for row in map(json.loads, output.read_text().splitlines())}
    assert list(rows) == ["ours", "ours-again", "lower-bound", "stock"]
    ours, stock = rows["ours"], rows["stock"]
    assert ours["trials_sha256"] == rows["ours-again"]["trials_sha256"] == stock["trials_sha256"]
    assert (ours["trials"], ours["epochs"]) == (stock["trials"], stock["epochs"]) == (6, 12)
    assert stock["passes"] > ours["passes"] > rows["ours-again"]["passes"] == 0
    assert stock["extrapolated"] and stock["trained_trials"] == 2
    assert stock["seconds"] > stock["measured_seconds"]
    for row in rows.values():
        assert row["seconds"] > 0 and row["cpu_seconds"] > 0 and row["peak_mb"] > 100
    ratios = run.stdout.splitlines()
    assert ratios[0].startswith("| images | precision | stock / ours | ")
    assert "stock extrapolated from 2 of 6 trials" in ratios[2]
    assert float(ratios[2].split("|")[3]) == pytest.approx(
        stock["seconds"] / ours["seconds"], rel=0.01
    )


def test_trials_that_differ_end_the_run(search_speed: Any) -> None:
    ours = [trial("0000", 1, 2), trial("0001", 0, 4, round=1)]
    promoted_another = [ours[0], trial("0001", 3, 4, round=1)]
    search_speed.check_equal(ours, list(reversed(ours)))
    search_speed.check_equal(ours, promoted_another, resumed=True)
    with pytest.raises(SystemExit, match="Expected the trials"):
        search_speed.check_equal(ours, promoted_another)
    with pytest.raises(SystemExit, match="Expected the trials"):
        search_speed.check_equal(ours, [trial("0000", 2, 2), ours[1]], resumed=True)


def test_work_counts_what_the_issue_counts(search_speed: Any) -> None:
    cached = ("pooled", "block4_pool")
    block_5 = sum(search_speed.convolution_shares()[10:])
    assert block_5 == pytest.approx(0.09, abs=0.005)
    assert search_speed.epoch_work(0, IMAGES) == 85
    assert search_speed.epoch_work(0, IMAGES, cached) == 0
    # Gradients of block 5: three kernels and two inputs, 0.15 of a forward pass.
    assert search_speed.epoch_work(3, IMAGES) == pytest.approx(85 + 70 * 0.15, abs=0.5)
    assert search_speed.epoch_work(3, IMAGES, cached) == pytest.approx(
        85 * block_5 + 70 * block_5 * 5 / 3
    )
    # All 13 convolutions open: nothing is frozen, so nothing can be stored.
    assert search_speed.epoch_work(13, IMAGES, cached) > 85 + 70 * 1.9


def test_resumed_trials_skip_their_parents_epochs(search_speed: Any) -> None:
    assert search_speed.phase_epochs(3, 10) == (5, 5)
    assert search_speed.phase_epochs(3, 10, 4) == (1, 5)
    assert search_speed.phase_epochs(3, 4, 2) == (0, 2)
    assert search_speed.phase_epochs(0, 10, 4) == (6, 0)


def test_extrapolation_recovers_what_it_was_made_from(stock: Any, search_speed: Any) -> None:
    rates = {0: 10.0, 1: 11.0, 3: 13.0}
    work = {str(depth): search_speed.epoch_work(depth, IMAGES) for depth in range(14)}
    known = [timed("0000", 3, 4, rates), timed("0001", 1, 4, rates), timed("0002", 0, 2, rates)]
    wanted = [timed("0003", 3, 10, rates), timed("0004", 0, 10, rates)]
    expected = sum(trial["seconds"] for trial in wanted)
    assert stock.predict_seconds(known, wanted, work) == pytest.approx(expected)
    assert stock.predict_seconds(known, [], work) == 0
    # A depth that was not timed lies between its neighbours.
    between = stock.predict_seconds(known, [trial("0005", 2, 10)], work)
    assert between == pytest.approx(3 + 2 * 2 + 5 * 10 + 5 * 12, rel=0.05)


def test_timed_trials_cover_every_depth(stock: Any) -> None:
    trials = [trial(f"{n:04}", n % 4, 2 if n < 12 else 4) for n in range(18)]
    by_name = {t["trial"]: t for t in trials}
    chosen = stock.choose_trials(trials, 6, 1)
    assert chosen == stock.choose_trials(trials, 6, 1)
    assert len(set(chosen)) == 6
    first = [by_name[name] for name in chosen[:4]]
    assert [t["settings"]["unfreeze_depth"] for t in first] == [3, 2, 1, 0]
    assert {t["epochs"] for t in first} == {4}
    assert len(stock.choose_trials(trials, 100, 1)) == 18


def test_subset_is_stratified_and_seeded(
    search_speed: Any, real_images: Path, tmp_path: Path
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        search_speed.link_images(real_images, tmp_path / name, 11, seed)
    names = [
        sorted(str(p.relative_to(tmp_path / name)) for p in (tmp_path / name).rglob("*.jpg"))
        for name in "abc"
    ]
    assert names[0] == names[1] != names[2]
    assert sorted(sum(label in n for n in names[0]) for label in ("Negative/", "Positive/")) == [
        5,
        6,
    ]


def test_table_has_blanks_for_what_did_not_run(search_speed: Any) -> None:
    rows = [{"a": 0.12345, "b": 1234.5}, {"a": None, "b": 7}]
    lines = search_speed.table(rows, ["a", "b"]).splitlines()
    assert lines[2:] == ["| 0.123 | 1234 |", "|  | 7 |"]
