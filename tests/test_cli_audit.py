"""`study audit`: label errors and shortcuts of a study's training and validation images."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace
from PIL import Image
from small_study import Recorder, Search, copied, draw_images, small_options

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.splits import read_split, write_split
from concrete_study.results.folder import StudyFolder
from concrete_study.results.shortcuts import PREDICTORS
from concrete_study.results.stored import read_record
from concrete_study.results.study_audit import AuditRecord
from concrete_study.search.runner import run_search
from concrete_study.study.audit import audit_study

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def study(whole: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    """A copy of the small search as `runs/small`."""
    return copied(whole.study, tmp_path, monkeypatch)


def stored(study: StudyFolder) -> AuditRecord:
    return read_record(study.audit_path / "audit.json", AuditRecord)


def store_predictions(study: StudyFolder, wrong: list[str]) -> list[str]:
    """Out-of-fold predictions as of a search with folds, wrong for some files; all files."""
    rows = [row for row in read_split(study.split_path) if row.subset in ("train", "validation")]
    predicted = np.array([(row.label == "Positive") != (row.file in wrong) for row in rows])
    positive = np.where(predicted, 0.9, 0.1)
    table = pd.DataFrame({"file": [r.file for r in rows], "label": [r.label for r in rows]})
    table = table.assign(group="", fold=np.arange(len(rows)) % 3 + 1)
    table = table.assign(p_Negative=1 - positive, p_Positive=positive)
    table.to_csv(study.out_of_fold_path, index=False)
    return [row.file for row in rows]


def test_an_audit_writes_record_page_and_tables_of_training_and_validation_images(
    study: StudyFolder, capsys: Captured
) -> None:
    assert run(["audit", "small"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert f"Page: {study.audit_path}" in out
    audit = stored(study)
    assert (audit.images, audit.classes) == (24, {"Negative": 12, "Positive": 12})
    assert (audit.predictions.source, audit.predictions.folds) == ("logistic regression", 5)
    assert {s.predictor for s in audit.shortcuts} == {*PREDICTORS}
    assert f"{len(audit.issues)} of 24 labels" in out
    shortcuts = pd.read_csv(study.audit_path / "shortcuts.csv")
    assert list(shortcuts["predictor"]) == [s.predictor for s in audit.shortcuts]
    issues = pd.read_csv(study.audit_path / "label-issues.csv")
    assert list(issues["file"]) == [issue.file for issue in audit.issues]
    page = (study.audit_path / "audit.html").read_text(encoding="utf-8")
    assert "test split stays locked" in page
    test = [row.file for row in read_split(study.split_path) if row.subset == "test"]
    assert not [file for file in test if file in page]
    again = stored(study)
    audit_study(study, Recorder())
    assert stored(study).issues == again.issues


def test_predictions_of_a_search_with_folds_are_used_and_contradicted_labels_shown(
    study: StudyFolder, capsys: Captured
) -> None:
    wrong = ["Negative/0002.jpg", "Positive/0003.jpg"]
    files = store_predictions(study, wrong)
    wrong = [file for file in wrong if file in files]
    assert run(["audit", "small", "--format", "json"]) == ExitCode.OK
    captured = capsys.readouterr()
    audit = stored(study)
    assert (audit.predictions.source, audit.predictions.folds) == ("search", 3)
    assert audit.predictions.accuracy == pytest.approx(1 - len(wrong) / 24)
    assert sorted(issue.file for issue in audit.issues) == wrong
    assert {issue.p_suggested for issue in audit.issues} == {0.9}
    assert captured.out.lstrip().startswith("[")
    page = (study.audit_path / "audit.html").read_text(encoding="utf-8")
    assert page.count('class="issue"') == len(wrong)
    assert page.count("data:image/jpeg;base64,") == page.count("<img ") == len(wrong) * 6
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?(?!data:)\w+:", page)


def test_conflicts_are_listed_first_even_if_a_file_is_gone_and_names_are_escaped(
    study: StudyFolder, slabs: Path
) -> None:
    file = next(row.file for row in read_split(study.split_path) if row.subset == "train")
    manifest = study.manifest()
    manifest.conflicts.append([file, "Positive/<b>gone.jpg"])
    study.write_manifest(manifest)
    assert run(["audit", "small"]) == ExitCode.OK
    assert stored(study).conflicts == [[file, "Positive/<b>gone.jpg"]]
    page = (study.audit_path / "audit.html").read_text(encoding="utf-8")
    assert "<b>gone" not in page
    assert "&lt;b&gt;gone.jpg: unreadable" in page
    assert page.index("different labels") < page.index("probably wrong")


def test_an_unknown_study_a_missing_folder_and_changed_images_are_errors(
    study: StudyFolder, slabs: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert run(["audit", "other"]) == ExitCode.STUDY
    shutil.copytree(slabs, tmp_path / "moved")
    moved = next(path for path in (tmp_path / "moved" / "Positive").iterdir())
    manifest = study.manifest()
    manifest.data[""] = str(tmp_path / "gone")
    study.write_manifest(manifest)
    assert run(["audit", "small"]) == ExitCode.DATA
    assert run(["audit", "small", "--data", str(tmp_path / "moved")]) == ExitCode.OK
    moved.write_bytes(b"changed")
    assert run(["audit", "small"]) == ExitCode.DATA
    assert "have changed" in capsys.readouterr().err
    study.out_of_fold_path.write_text("file,fold\n")
    shutil.rmtree(tmp_path / "moved")
    shutil.copytree(slabs, tmp_path / "moved")
    assert run(["audit", "small"]) == ExitCode.STUDY
    assert f"{study.out_of_fold_path} is damaged" in capsys.readouterr().err


def test_an_interrupted_study_with_16_bit_and_damaged_files_is_audited(tmp_path: Path) -> None:
    folder = draw_images(tmp_path / "images")
    for number, label in enumerate(("Negative", "Positive")):
        deep = np.random.default_rng(number).integers(65536, size=(40, 40), dtype=np.uint16)
        Image.fromarray(deep).save(folder / label / "deep.png")
    (folder / "Negative" / "damaged.jpg").write_bytes(b"\xff\xd8\xff damaged")
    study = StudyFolder(tmp_path / "runs" / "stopped")
    with pytest.raises(KeyboardInterrupt):
        run_search(small_options(folder), study, Recorder(interrupt_after=1))
    assert study.state() == "interrupted"
    audit = audit_study(study, Recorder())
    assert audit.images == sum(
        row.subset in ("train", "validation") for row in read_split(study.split_path)
    )
    assert (study.audit_path / "audit.html").exists()


def test_kept_conflicts_are_listed(study: StudyFolder) -> None:
    manifest = study.manifest()
    rows = read_split(study.split_path)
    training = [row for row in rows if row.subset == "train"]
    pair = [next(r for r in training if r.label == label) for label in ("Negative", "Positive")]
    options = replace(manifest.options, keep_conflicts=True)
    study.write_manifest(replace(manifest, options=options, split_sha256=""))
    joined = [r._replace(group=pair[0].group) if r == pair[1] else r for r in rows]
    write_split(study.split_path, joined)
    assert audit_study(study, Recorder()).conflicts == [[row.file for row in pair]]
