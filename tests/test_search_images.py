"""A study's images: its earlier split, the sample, and several folders up to the test."""

import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from msgspec.structs import replace
from small_study import Recorder, Search, draw_images, searched, small_options

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets import sample
from concrete_study.datasets.splits import EXTERNAL, read_split, write_split
from concrete_study.results.evaluation import evaluate, read_predictions
from concrete_study.results.folder import StudyFolder
from concrete_study.search.images import load_data


def subsets(study: StudyFolder) -> dict[str, Counter[str]]:
    """Number of images by dataset and subset."""
    found: dict[str, Counter[str]] = {}
    for row in read_split(study.split_path):
        found.setdefault(row.file.split("/")[0], Counter())[row.subset] += 1
    return found


def test_a_folder_that_grows_keeps_the_split_of_an_earlier_study(
    whole: Search, tmp_path: Path
) -> None:
    (images,) = map(Path, whole.options.data)
    study = StudyFolder(tmp_path / "runs" / "first")
    shutil.copytree(whole.study.path, study.path)
    stored = read_split(study.split_path)
    new = StudyFolder(tmp_path / "runs" / "new")
    same = load_data(small_options(images), new, Recorder())
    assert same.rows == stored
    moved = [row._replace(subset="test" if row.subset == "train" else "train") for row in stored]
    write_split(study.split_path, moved)
    study.write_manifest(replace(study.manifest(), split_sha256=""))
    assert load_data(small_options(images), new, Recorder()).rows == moved
    other = load_data(small_options(images, seed=7), new, Recorder())
    assert other.rows != moved


def test_the_sample_is_generated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make_small(folder: Path) -> None:
        draw_images(folder)

    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(sample, "make_sample", make_small)
    messages = []
    for _ in range(2):
        recorder = Recorder()
        load_data(small_options(Path(), data=()), StudyFolder(tmp_path / "new"), recorder)
        messages.append(recorder.messages)
    assert messages[0] == [
        "No images in datasets/: using the built-in sample of 240 synthetic images.",
        "Generating the sample, once (about half a minute) ...",
    ]
    assert messages[1] == messages[0][:1]


def test_each_dataset_of_a_study_has_its_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, c = (draw_images(tmp_path / name, seed=seed) for seed, name in enumerate("abc", start=20))
    monkeypatch.chdir(tmp_path)
    found = searched(
        a, Path("runs/both"), data=(str(a), str(b)), external_test=(str(c),), max_epochs=1
    )
    split = subsets(found.study)
    assert split.keys() == {"a", "b", "c"}
    assert split["c"] == {EXTERNAL: 28}
    assert split["a"].total() == split["b"].total() == 28
    assert EXTERNAL not in split["a"]
    assert found.study.manifest().images[EXTERNAL] == 28

    assert run(["best", "both"]) == ExitCode.OK
    out, _ = capsys.readouterr()
    metrics = found.study.metrics()
    assert metrics is not None
    datasets = [(report.dataset, report.subset) for report in metrics.by_dataset]
    assert datasets == [("a", "test"), ("b", "test"), ("c", EXTERNAL)]
    assert metrics.test.images == sum(report.test.images for report in metrics.by_dataset[:2])
    external = read_predictions(found.study.best_path / "external.csv")
    assert metrics.by_dataset[2].test == evaluate(external, ["Negative", "Positive"])
    assert f"c        {EXTERNAL}" in out
    tested = pd.read_csv(found.study.predictions_path)["file"]
    assert not tested.str.startswith("c/").any()
