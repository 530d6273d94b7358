"""The Python API: the numbers of the command line, progress, callbacks, and tested examples."""

import doctest
import inspect
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from msgspec.structs import replace
from small_study import SMALL, Recorder, draw_images, without_times

import concrete_study as cs
from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode, message
from concrete_study.datasets.errors import (
    ChangedOptionsError,
    RetrainedError,
    StudyExistsError,
    UnknownStudyError,
    UsageError,
)
from concrete_study.results.folder import StudyFolder
from concrete_study.results.model_folder import ModelFolder
from concrete_study.results.records import Epoch, TrialRecord
from concrete_study.results.stored import read_record
from concrete_study.results.study_audit import AuditRecord
from concrete_study.search.progress import CallbackProgress
from concrete_study.study.model import Model
from concrete_study.study.study import Study

# Two trials of one architecture: the smallest search.
TINY_SPACE: dict[str, Any] = {
    "feature_layers": "block5",
    "head_units": 0,
    "dropout": [0.0, 0.5],
    "unfreeze_depth": 0,
    "head_learning_rate": 1e-3,
}
TINY_TOML = """feature_layers = "block5"
head_units = 0
dropout = [0.0, 0.5]
unfreeze_depth = 0
head_learning_rate = 1e-3
"""
TINY: dict[str, Any] = {
    "algorithm": "grid",
    "max_epochs": 1,
    "image_size": 32,
    "views": 2,
    "batch_size": 8,
    "precision": "float32",
    "seed": 5,
    "objective": "val_loss",
    "space": TINY_SPACE,
}


@pytest.fixture(scope="module")
def folder(slabs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos/`, `other-site/` and the study `runs/typed` of the command line."""
    here = tmp_path_factory.mktemp("here")
    shutil.copytree(slabs, here / "photos")
    draw_images(here / "other-site", seed=11)
    (here / "tiny.toml").write_text(TINY_TOML)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        typed = ["--algorithm", "grid", "--max-epochs", "1", "--space", "tiny.toml", *SMALL]
        assert run(["search", "--data", "photos", "--name", "typed", *typed]) == ExitCode.OK
    return here


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def called(folder: Path) -> tuple[Study, Recorder, list[TrialRecord | Epoch]]:
    """The same study by the API, `runs/called`, with what its callbacks received."""
    recorder, events = Recorder(), list[TrialRecord | Epoch]()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        study = cs.search(data="photos", name="called", callbacks=[recorder, events.append], **TINY)
        study.best()
    return study, recorder, events


def without_seconds(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="seconds")


def test_a_search_gives_the_trials_of_the_command_line(
    called: tuple[Study, Recorder, list[TrialRecord | Epoch]],
) -> None:
    study, typed = called[0], cs.open("typed")
    assert study.options == typed.options
    assert without_times(study.folder.trials()) == without_times(typed.folder.trials())
    pd.testing.assert_frame_equal(
        without_seconds(study.leaderboard()), without_seconds(typed.leaderboard())
    )
    assert without_seconds(study.trials()).equals(without_seconds(typed.trials()))
    assert study.state == "finished"


@pytest.mark.slow
def test_best_evaluate_predict_and_adapt_give_the_numbers_of_the_command_line(
    called: tuple[Study, Recorder, list[TrialRecord | Epoch]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = called[0].best()
    assert run(["best", "typed"]) == ExitCode.OK
    typed = cs.open_model("typed")
    assert model.metrics.test == typed.metrics.test
    pd.testing.assert_frame_equal(model.predictions(), typed.predictions())

    record = model.evaluate("other-site")
    assert run(["evaluate", "typed", "--data", "other-site"]) == ExitCode.OK
    [stored] = typed.folder.study.evaluations()
    assert record.test == stored.test
    assert record.test.images == 28

    capsys.readouterr()
    typing = ["predict", "other-site", "--study", "typed", "--recall", "0.9", "-f", "csv"]
    assert run(typing) == ExitCode.OK
    Path("printed.csv").write_text(capsys.readouterr().out)
    printed = pd.read_csv("printed.csv").drop(columns="error")
    table = model.predict("other-site", recall=0.9)
    assert set(table["error"]) == {""}
    pd.testing.assert_frame_equal(table.drop(columns="error"), printed, check_dtype=False)

    adapted = called[0].adapt("other-site", site="bridge")
    assert run(["adapt", "typed", "--data", "other-site", "--site", "bridge"]) == ExitCode.OK
    assert adapted.metrics.test == cs.open_model("typed:bridge").metrics.test
    assert adapted.name == "called:bridge"

    audit = called[0].audit()
    assert run(["audit", "typed"]) == ExitCode.OK
    stored_audit = read_record(typed.folder.study.audit_path / "audit.json", AuditRecord)
    assert (audit.issues, audit.shortcuts) == (stored_audit.issues, stored_audit.shortcuts)


def test_the_comparison_is_that_of_the_command_line(
    called: tuple[Study, Recorder, list[TrialRecord | Epoch]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["compare", "typed", "called", "--format", "csv"]) == ExitCode.OK
    assert cs.compare("typed", "called").to_csv(index=False) == capsys.readouterr().out
    with pytest.raises(UsageError, match=r"table: 'rank' is unknown"):
        cs.compare("typed", table="rank")


def test_callbacks_receive_all_trials_and_epochs(
    called: tuple[Study, Recorder, list[TrialRecord | Epoch]],
) -> None:
    study, recorder, events = called
    trials = [event for event in events if isinstance(event, TrialRecord)]
    assert trials == study.folder.trials() == [trial for trial, _ in recorder.done]
    assert [event for event in events if isinstance(event, Epoch)] == recorder.epochs
    assert recorder.planned == (2, 2, 0)
    assert recorder.counted
    assert recorder.messages[0] == "Study called: grid, up to 1 epoch; score: val_loss."


def test_an_exception_in_a_callback_ends_the_search_and_resuming_completes_it() -> None:
    def fail(event: TrialRecord | Epoch) -> None:
        if isinstance(event, TrialRecord):
            raise RuntimeError("the tracker is offline")

    with pytest.raises(RuntimeError, match="offline"):
        cs.search(data="photos", name="broken", callbacks=[fail], **TINY)
    assert len(cs.open("broken").trials()) == 1
    resumed = cs.search(name="broken", resume=True)
    assert without_times(resumed.folder.trials()) == without_times(cs.open("typed").folder.trials())


def test_progress_is_silent_by_default_and_printed_if_asked_for(
    called: tuple[Study, Recorder, list[TrialRecord | Epoch]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    called[0].best(progress=False)
    called[0].best()
    assert capfd.readouterr() == ("", "")
    called[0].best(progress=True)
    assert "Study called: using the stored result" in capfd.readouterr().err
    recorder = Recorder()
    called[0].best(progress=recorder)
    assert recorder.messages == ["Study called: using the stored result; retraining replaces it."]


def test_a_study_toml_starts_the_same_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "typed"]) == ExitCode.OK
    Path("study.toml").write_text(capsys.readouterr().out)
    study = cs.search(config="study.toml", name="again")
    assert study.options == cs.open("typed").options
    typed = ["search", "--config", "study.toml", "--name", "again", "--resume"]
    assert run([*typed, "--seed", "6"]) == ExitCode.STUDY
    assert "--seed: was 5, now 6" in capsys.readouterr().err
    assert run(typed) == ExitCode.OK
    Path("study.toml").write_text("epochs = 3\nseed = 'five'")
    assert run(["search", "--config", "study.toml"]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert "--config: study.toml is not valid.\nepochs: unknown" in err
    assert "seed: 'five' is not valid." in err


@pytest.mark.parametrize(
    ("call", "kind", "text", "printed"),
    [
        (lambda: cs.search(epochs=3), UsageError, "epochs: unknown option", "--epochs: "),
        (lambda: cs.search(seed="x"), UsageError, "seed: 'x' is not valid", "--seed: "),
        (lambda: cs.search(resume=True), UsageError, "resume: needs a name", "--resume: "),
        (
            lambda: cs.search(resume=True, overwrite=True, name="a"),
            UsageError,
            "resume and overwrite cannot be combined",
            "resume and",
        ),
        (lambda: cs.search(name="typed"), StudyExistsError, "already exists", "Try: --resume"),
        (
            lambda: cs.search(name="typed", resume=True, max_epochs=7),
            ChangedOptionsError,
            "max_epochs: was 1, now 7",
            "--max-epochs: was 1, now 7",
        ),
        (lambda: cs.open("tyqed"), UnknownStudyError, "Did you mean typed", "study list"),
        (lambda: cs.open_model("a b"), UsageError, "not a valid study name", "Expected"),
        (
            lambda: cs.open("called").best(epochs=9),
            RetrainedError,
            "is already retrained",
            "study best called --retrain",
        ),
        (
            lambda: cs.open_model("called").predict("x", threshold=0.5, recall=0.5),
            UsageError,
            "cannot be combined",
            "cannot be combined",
        ),
        (
            lambda: cs.open_model("called").predict("x", threshold=1.5),
            UsageError,
            "threshold: 1.5 is not valid",
            "--threshold: ",
        ),
    ],
)
def test_errors_name_arguments_and_print_as_those_of_the_command_line(
    call: Callable[[], object],
    kind: type[cs.StudyError],
    text: str,
    printed: str,
    called: tuple[Study, Recorder, list[TrialRecord | Epoch]],
) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)
    assert "--" not in str(caught.value)
    assert printed in message(caught.value)


def test_html_is_escaped(tmp_path: Path, retrained: StudyFolder) -> None:
    copy = StudyFolder(tmp_path / "copy")
    shutil.copytree(retrained.path, copy.path)
    manifest = copy.manifest()
    copy.write_manifest(replace(manifest, classes=["<b>", "&amp;"], created="<script>"))
    metrics = copy.required_metrics()
    test = replace(metrics.test, classes=["<i>", "b"])
    copy.write_metrics(replace(metrics, test=test))
    page = Study(copy)._repr_html_() + Model(ModelFolder(copy))._repr_html_()
    assert not [mark for mark in ("<script>", "<b>,", "<i>") if mark in page]
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;, &amp;amp;" in page
    assert "&lt;i&gt;, b" in page
    assert f"{metrics.test.accuracy:.4f}" in page


def public() -> Iterator[tuple[str, object]]:
    """Functions and classes of the API, and what the classes have, in the order of use."""
    for function in ("search", "open", "open_model", "list_studies", "compare"):
        yield function, getattr(cs, function)
        if function == "search":
            for owner in (Study, Model):
                yield owner.__name__, owner
                members = vars(owner).items()
                yield from (
                    (f"{owner.__name__}.{name}", member)
                    for name, member in members
                    if not name.startswith("_")
                )


@pytest.mark.slow
def test_every_public_name_has_an_example_that_runs(
    slabs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(slabs, tmp_path / "photos")
    draw_images(tmp_path / "other-site", seed=11)
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    failures = list[str]()
    names = dict(public())
    # The model is there once `Study.best` has run.
    for name in sorted(
        names, key=lambda name: (name not in ("search", "Study.best"), name != "search")
    ):
        text = inspect.getdoc(names[name]) or ""
        examples = parser.get_doctest(text, {"cs": cs, "Path": Path}, name, None, 0)
        assert examples.examples, f"{name} has no example"
        runner.run(examples, out=failures.append)
    assert not failures, "".join(failures)


def test_the_signature_of_search_has_every_option() -> None:
    parameters = inspect.signature(cs.search).parameters
    assert set(cs.SearchOptions.__struct_fields__) < parameters.keys()
    assert {
        "name",
        "image_size",
        "time_budget",
        "config",
        "resume",
        "callbacks",
    } < parameters.keys()
    assert parameters["max_epochs"].default == 10


def test_progress_that_is_passed_on_counts_for_all() -> None:
    recorders = Recorder(), Recorder()
    with CallbackProgress(recorders).counting("images", 3) as done:
        done(2)
    assert [recorder.counted for recorder in recorders] == [{"images": 2}] * 2
