import json
import re
from pathlib import Path

import pytest
from small_records import write_study
from small_study import SMALL, SPACE_TOML

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.folders import Fault
from concrete_study.results.folder import StudyFolder

# Two trials of one architecture: the smallest search.
TINY_TOML = """
feature_layers = "block5"
head_units = 0
dropout = [0.0, 0.5]
unfreeze_depth = 0
head_learning_rate = 1e-3
"""
TINY = ("--algorithm", "grid", "--max-epochs", "1", *SMALL)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Studies go to `runs/` of the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY_TOML)
    return tmp_path


def tiny(slabs: Path, *more: str) -> list[str]:
    return ["search", "--data", str(slabs), "--space", "tiny.toml", *TINY, *more]


def stored(name: str) -> dict[str, bytes]:
    """Every file of a study with its content."""
    return {str(p): p.read_bytes() for p in Path("runs", name).rglob("*") if p.is_file()}


def test_the_best_trial_is_on_stdout_and_the_log_in_plain_lines_on_stderr(
    slabs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny(slabs, "--name", "first")) == ExitCode.OK
    out, err = capfd.readouterr()
    best = re.match(r"Best trial: (\d+), val_loss (\d+\.\d{5}) at 1 epoch\n", out)
    assert best is not None
    record = {trial.trial: trial for trial in StudyFolder(Path("runs/first")).trials()}[best[1]]
    assert float(best[2]) == pytest.approx(record.score, abs=1e-5)
    assert "runs/first/" in out
    assert "study best first --export" in out.splitlines()[-1]
    assert "\x1b" not in out + err
    assert "\r" not in out + err
    assert len(re.findall(r"^ *[12]/2 ", err, re.MULTILINE)) == 2
    assert "Plan: 2 trials, 2 epochs, 20 training and 4 validation images." in err
    assert "Traceback" not in err


def test_a_finished_study_is_not_run_again_and_resume_prints_the_same(
    slabs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny(slabs, "--name", "first")) == ExitCode.OK
    printed = capsys.readouterr().out
    trials = StudyFolder(Path("runs/first")).trials()
    assert run(tiny(slabs, "--name", "first")) == ExitCode.STUDY
    assert "Error: Study first already exists." in capsys.readouterr().err
    assert run(["search", "--name", "first", "--resume"]) == ExitCode.OK
    again = capsys.readouterr()
    assert again.out == printed
    assert "2 trials completed before" in again.err
    assert StudyFolder(Path("runs/first")).trials() == trials


def test_resuming_with_changed_options_is_an_error_that_lists_them(
    slabs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny(slabs, "--name", "first")) == ExitCode.OK
    before = stored("first")
    capsys.readouterr()
    changed = ["--resume", "--name", "first", "--max-epochs", "7", "--seed", "2"]
    assert run(["search", *changed, "--views", "2"]) == ExitCode.STUDY
    out, err = capsys.readouterr()
    assert out == ""
    assert "--max-epochs: was 1, now 7" in err
    assert "--seed: was 5, now 2" in err
    assert "--views" not in err
    Path("other.toml").write_text(SPACE_TOML)
    assert run(["search", "--resume", "--name", "first", "--space", "other.toml"]) == 4
    err = capsys.readouterr().err
    assert "--space, unfreeze_depth: was [0], now [0, 1]\n" in err
    assert "--space, dropout: was [0.0, 0.5], now { min = 0.0, max = 0.6, log = false }\n" in err
    assert "head_units" not in err
    assert stored("first") == before


def test_overwriting_starts_again_and_a_study_without_a_name_gets_one(slabs: Path) -> None:
    assert run(tiny(slabs)) == ExitCode.OK
    assert run(tiny(slabs, "--name", "grid-1", "--overwrite", "--seed", "3")) == ExitCode.OK
    manifest = json.loads(Path("runs/grid-1/study.json").read_text())
    assert manifest["options"]["seed"] == 3
    assert run(tiny(slabs)) == ExitCode.OK
    assert sorted(path.name for path in Path("runs").iterdir()) == ["grid-1", "grid-2"]


def test_overwriting_with_images_that_cannot_be_read_keeps_the_old_study(slabs: Path) -> None:
    assert run(tiny(slabs, "--name", "first")) == ExitCode.OK
    before = stored("first")
    assert run(["search", "--data", "nowhere", "--name", "first", "--overwrite"]) == ExitCode.DATA
    assert stored("first") == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--max-epochs", "0"], ExitCode.USAGE, "--max-epochs: 0 is too small"),
        (["--max-epochs", "many"], ExitCode.USAGE, "Invalid value"),
        (["--image-size", "31"], ExitCode.USAGE, "--image-size: 31"),
        (["--algorithm", "genetic"], ExitCode.USAGE, "--algorithm: 'genetic' is unknown"),
        (["--trials", "5"], ExitCode.USAGE, "--trials: 5 trials cannot be set"),
        (["--split", "80/20"], ExitCode.USAGE, "80/20"),
        (["--cache-gb", "inf"], ExitCode.USAGE, "--cache-gb: inf"),
        (["--space", "nowhere.toml"], ExitCode.USAGE, "nowhere.toml cannot be read"),
        (["--space", "wrong.toml"], ExitCode.USAGE, "depth: unknown"),
        (["--weights", "nowhere.h5"], ExitCode.USAGE, "no weights file"),
        (["--name", "a/b"], ExitCode.USAGE, "not a valid study name"),
        (["--resume"], ExitCode.USAGE, "--resume: needs a name"),
        (["--resume", "--overwrite", "--name", "x"], ExitCode.USAGE, "cannot be combined"),
        (["--time-budget", "0h"], ExitCode.USAGE, "--time-budget: 0h is not a duration"),
        (["--resume", "--name", "x"], ExitCode.STUDY, "No study x to resume"),
        (["--data", "nowhere"], ExitCode.DATA, "no folder"),
        (["--data", "tiny.toml"], ExitCode.DATA, "is not a folder"),
        (["--data", "."], ExitCode.DATA, "no class folders"),
    ],
)
def test_a_wrong_option_is_one_error_with_its_exit_code_and_leaves_no_study(
    arguments: list[str],
    code: ExitCode,
    words: str,
    slabs: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("wrong.toml").write_text("depth = 3")
    assert run(["search", "--data", str(slabs), *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    assert not Path("runs").exists()


def test_stored_options_of_another_version_are_an_error(
    slabs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(StudyFolder(Path("runs/old")), state="interrupted")
    manifest = study.manifest_path.read_text()
    study.manifest_path.write_text(manifest.replace('"objective"', '"temperature"'))
    assert run(["search", "--data", str(slabs), "--resume", "--name", "old"]) == ExitCode.STUDY
    assert "study.json is damaged" in capsys.readouterr().err


def test_unreadable_and_ignored_files_are_named_counted_and_shown(
    slabs: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = here / "images"
    for path in slabs.rglob("*.jpg"):
        target = data / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (data / "Positive" / "[empty].jpg").touch()
    for name in ("raw.dng", "notes.txt", "labels.xml"):
        (data / "Positive" / name).touch()
    assert run(tiny(data, "--name", "first")) == ExitCode.OK
    assert "excluded: Positive/[empty].jpg: the file is empty" in capsys.readouterr().err
    manifest = StudyFolder(Path("runs/first")).manifest()
    assert manifest.faults == [Fault("Positive/[empty].jpg", "the file is empty")]
    dng = ".dng is not read: convert to JPEG or PNG"
    assert manifest.ignored == {dng: 1, "other files": 2}
    assert run(["show", "first"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert "Faults:  1 unreadable, see study.json\n" in out
    assert f"Ignored: {dng} (1); other files (2)\n" in out


def test_images_larger_than_the_memory_are_an_error_and_use_no_name(
    slabs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["search", "--data", str(slabs), "--image-size", "100000"]
    assert run(typed) == ExitCode.RESOURCES
    assert "too large for this machine" in capsys.readouterr().err
    assert not Path("runs").exists()
    left_by_a_crash = Path("runs") / "grid-1" / ".lock"
    left_by_a_crash.parent.mkdir(parents=True)
    left_by_a_crash.touch()
    assert run(tiny(slabs)) == ExitCode.OK
    assert [path.name for path in Path("runs").iterdir()] == ["grid-1"]
