"""Folders of images that have moved since a study began."""

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace
from small_study import Recorder, Search, copied, draw_images, searched, small_options

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.errors import DataError, StudyStateError, UsageError
from concrete_study.datasets.splits import read_split
from concrete_study.results.folder import StudyFolder
from concrete_study.search.images import load_data, require_split, resume_data
from concrete_study.search.moved_data import store_new_folders
from concrete_study.search.runner import run_search

pytestmark = pytest.mark.slow


def test_a_search_resumes_with_images_that_have_moved(
    whole: Search,
    slabs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(slabs, tmp_path / "old")
    study = StudyFolder(Path("runs/s"))
    with pytest.raises(KeyboardInterrupt):
        run_search(small_options(tmp_path / "old"), study, Recorder(interrupt_after=2))
    (tmp_path / "old").rename(tmp_path / "new")
    resume = ["search", "--name", "s", "--resume"]
    assert run(resume) == ExitCode.DATA
    error = capsys.readouterr().err
    assert f"--data: no folder {tmp_path / 'old'}." in error
    assert "Try: the folder to which they have moved." in error
    assert run([*resume, "--data", "new"]) == ExitCode.OK
    assert [replace(r, seconds=0.0) for r in study.trials()] == whole.records
    manifest = study.manifest()
    assert manifest.data == {"": str(tmp_path / "new")}
    assert manifest.options.data == (str(tmp_path / "new"),)


def test_only_a_folder_with_the_same_content_is_stored(
    retrained: StudyFolder,
    slabs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = copied(retrained, tmp_path, monkeypatch)
    shutil.copytree(slabs, "new")
    first, second = sorted(Path("new/Positive").iterdir())[:2]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    before = study.manifest()
    assert run(["best", "small", "--data", "new"]) == ExitCode.DATA
    error = capsys.readouterr().err
    assert f"Expected {first.resolve()} as listed in" in error
    with pytest.raises(UsageError, match="2 folders are given"):
        store_new_folders(study, [Path("new"), slabs])
    assert study.manifest() == before
    first.write_bytes(content)
    external = str(draw_images(tmp_path / "external", seed=8))
    typed = ["evaluate", "small", "--data", external]
    assert run([*typed, "--study-data", "new"]) == ExitCode.OK
    assert study.manifest().data == {"": str(Path("new").resolve())}


def test_several_folders_keep_their_names_in_the_split(tmp_path: Path) -> None:
    a, b, c = (draw_images(tmp_path / name, seed=seed) for seed, name in enumerate("abc", start=30))
    found = searched(
        a, tmp_path / "s", data=(str(a), str(b)), external_test=(str(c),), max_epochs=1
    )
    rows = read_split(found.study.split_path)
    moved = [root.rename(tmp_path / f"moved-{root.name}") for root in (a, b, c)]
    options = found.study.manifest().options
    with pytest.raises(DataError, match="no folder"):
        resume_data(options, found.study, Recorder())
    with pytest.raises(DataError, match="no folder"):  # the external test set is still missing
        store_new_folders(found.study, moved[:2])
    store_new_folders(found.study, moved)
    manifest = found.study.manifest()
    assert list(manifest.data) == ["a", "b", "c"]
    assert manifest.options.external_test == (str(moved[2]),)
    assert resume_data(manifest.options, found.study, Recorder()).rows == rows
    baseline = load_data(manifest.options, StudyFolder(tmp_path / "baseline"), Recorder())
    require_split(found.study, baseline)  # in spite of the new names
    swapped = [row._replace(subset="train") for row in baseline.rows]
    with pytest.raises(StudyStateError, match="have changed"):
        require_split(found.study, baseline._replace(rows=swapped))
