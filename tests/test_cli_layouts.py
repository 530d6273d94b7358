"""From the official layouts of published sets to a model and an evaluation, by one command each."""

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from small_study import SMALL

from concrete_study.cli.app import run
from concrete_study.cli.errors import ExitCode
from concrete_study.datasets.sample import make_sample
from concrete_study.datasets.splits import read_split
from concrete_study.results.folder import StudyFolder

pytestmark = pytest.mark.slow

ONE_POINT = "head_units = 0\ndropout = 0\nunfreeze_depth = 0\nhead_learning_rate = 1e-3\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "point.toml").write_text(ONE_POINT)
    return tmp_path


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 20 drawn slabs, and another 20 as external test set."""
    folder = tmp_path_factory.mktemp("drawn")
    make_sample(folder / "own", images=40, size=48, seed=31)
    make_sample(folder / "other", images=20, size=48, seed=32)
    return folder


def spread(source: Path, positive: Iterable[str], negative: Iterable[str]) -> None:
    """Puts the drawn images of each class in turn into folders."""
    for label, folders in (("Positive", list(positive)), ("Negative", list(negative))):
        for number, path in enumerate(sorted((source / label).iterdir())):
            target = Path(folders[number % len(folders)], f"7{label[0]}{number:03}-{number}.jpg")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def search(*more: str) -> StudyFolder:
    typed = ["search", "--algorithm", "grid", "--max-epochs", "1", "--space", "point.toml"]
    assert run([*typed, *SMALL, "--name", "s", *more]) == ExitCode.OK
    return StudyFolder(Path("runs/s"))


def evaluated(study: StudyFolder, *more: str) -> list[str]:
    """The classes of the test report and of an external test set, which are the same."""
    assert run(["best", study.name]) == ExitCode.OK
    metrics = study.metrics()
    assert metrics is not None
    assert run(["evaluate", study.name, *more]) == ExitCode.OK
    (external,) = study.evaluations()
    assert external.test.classes == metrics.test.classes
    assert external.test.images == 20
    return metrics.test.classes


def sdnet(drawn: Path, name: str, root: Path) -> None:
    spread(
        drawn / name,
        [f"{root}/{site}/C{site}" for site in "DPW"],
        [f"{root}/{site}/U{site}" for site in "DPW"],
    )


def test_sdnet2018_has_the_classes_cracked_and_uncracked(
    drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sdnet(drawn, "own", Path("SDNET2018"))
    sdnet(drawn, "other", Path("more"))
    study = search("--data", "SDNET2018", "--split-by", "prefix")
    err = capsys.readouterr().err
    assert "C.. is class Cracked, U.. is class Uncracked" in err
    assert "group them by the prefix" in err
    assert "class Cracked: 20 images" in err
    assert evaluated(study, "--data", "more") == ["Cracked", "Uncracked"]


def test_folders_of_sdnet2018_can_be_mapped_to_classes(
    drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spread(drawn / "own", ["S/W/CW", "S/P/CP"], ["S/W/UW", "S/P/UP"])
    typed = ["--data", "S", "--map", "CW=crack,UW=sound", "--map", "CP=crack"]
    study = search(*typed)
    err = capsys.readouterr().err
    assert "Warning: 10 image files excluded, e.g. P/UP/" in err
    assert "in no folder of the class map" in err
    manifest = study.manifest()
    assert manifest.classes == ["crack", "sound"]
    assert manifest.options.class_map == {"CW": "crack", "UW": "sound", "CP": "crack"}
    assert Counter(row.label for row in read_split(study.split_path)) == {"crack": 20, "sound": 10}
    spread(drawn / "other", ["more/Positive"], ["more/Negative"])
    mapped = ["--map", "Positive=crack,Negative=sound"]
    assert evaluated(study, "--data", "more", *mapped) == ["crack", "sound"]


@pytest.mark.parametrize("zipped", [False, True])
def test_metu_s_folders_below_one_more_level_are_found(
    zipped: bool, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(drawn / "own", "archive/Concrete Crack Images")
    shutil.copytree(drawn / "other", "external")
    given = "archive"
    if zipped:
        given = shutil.make_archive("metu", "zip", "archive")
        shutil.rmtree("archive")
    study = search("--data", given)
    assert "Class folders are in Concrete Crack Images/." in capsys.readouterr().err
    assert evaluated(study, "--data", "external") == ["Negative", "Positive"]
    assert all(row.file.startswith("Concrete Crack") for row in read_split(study.split_path))


def test_a_ready_made_split_is_used_as_it_is(
    drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = ["training_set", "training_set", "Val", "test_set"]
    spread(
        drawn / "own",
        [f"split/{part}/Cracked" for part in parts],
        [f"split/{part}/Sound" for part in parts],
    )
    Path("split/pred").mkdir()
    shutil.copy(drawn / "other" / "Positive" / "0000.jpg", "split/pred/1.jpg")
    study = search("--data", "split")
    err = capsys.readouterr().err
    assert "Ready-made split: " in err
    assert "Warning: 1 image files excluded, e.g. pred/1.jpg: in pred/, which has no class" in err
    found = Counter((row.file.split("/")[0], row.subset) for row in read_split(study.split_path))
    assert found == {
        ("training_set", "train"): 20,
        ("Val", "validation"): 10,
        ("test_set", "test"): 10,
    }
    spread(drawn / "other", ["more/Cracked"], ["more/Sound"])
    assert evaluated(study, "--data", "more") == ["Cracked", "Sound"]
    metrics = study.metrics()
    assert metrics is not None
    assert metrics.test.images == 10


def test_a_list_of_labels_replaces_class_folders(drawn: Path) -> None:
    spread(drawn / "own", ["flat"], ["flat"])
    names = sorted(path.name for path in Path("flat").iterdir())
    lines = [f"{name},{'yes' if name[1] == 'P' else 'no'}" for name in names]
    Path("labels.csv").write_text("\n".join(["file,class", *lines]), encoding="utf-8-sig")
    study = search("--data", "flat", "--labels", "labels.csv")
    assert study.manifest().classes == ["no", "yes"]
    spread(drawn / "other", ["more/yes"], ["more/no"])
    assert evaluated(study, "--data", "more") == ["no", "yes"]


def test_several_sites_are_refused_with_the_options_to_give(
    drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("bridge 1", "bridge2"):
        shutil.copytree(drawn / "other", Path("sites", name))
    assert run(["search", "--data", "sites"]) == ExitCode.DATA
    err = capsys.readouterr().err
    root = Path("sites").resolve()
    assert f"Try: --data '{root}/bridge 1' --data {root}/bridge2\n" in err


def copied(drawn: Path, change: Callable[[Path], None]) -> str:
    shutil.copytree(drawn / "other", "images")
    change(Path("images"))
    return "images"


def duplicate_class(root: Path) -> None:
    shutil.rmtree(root / "Positive")
    shutil.copytree(root / "Negative", root / "Positive")


def conflicting_class(root: Path) -> None:
    for path in (root / "Positive").iterdir():
        shutil.copy(path, root / "Negative" / f"again {path.name}")


def nearly_conflicting_class(root: Path) -> None:
    for path in sorted((root / "Positive").iterdir())[:-1]:
        shutil.copy(path, root / "Negative" / f"again {path.name}")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (duplicate_class, "different labels: 10 of Negative, 10 of Positive"),
        (conflicting_class, "class Positive has no images left"),
        (nearly_conflicting_class, "class Positive has 1 group of images"),
    ],
)
def test_a_class_without_images_after_label_conflicts_ends_with_code_3(
    change: Callable[[Path], None], words: str, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["search", "--data", copied(drawn, change)]) == ExitCode.DATA
    err = capsys.readouterr().err
    assert words in err
    assert "different labels" in err
    assert not Path("runs").exists()


def test_a_search_warns_and_a_check_ends_with_code_1_when_image_files_are_left_out(
    drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def add(root: Path) -> None:
        (root / "Negative" / "raw.dng").write_bytes(b"raw")
        (root / "Negative" / "._0000.jpg").write_bytes(b"metadata")
        for path in sorted((root / "Positive").iterdir())[:5]:
            path.unlink()

    typed = ["--data", copied(drawn, add), "--dry-run", "--image-size", "32"]
    assert run(["search", *typed]) == ExitCode.OK
    err = capsys.readouterr().err
    assert "class Negative: 10 images (7 train, " in err
    assert "class Positive: 5 images (3 train, 1 validation, 1 test)" in err
    assert "Warning: imbalanced classes: 10 images of Negative, 5 of Positive; predicting" in err
    assert "has accuracy 0.6667." in err
    assert re.search(r"Warning: only [23] test images, 1 of class ", err)
    assert "Warning: 1 image files excluded, e.g. Negative/raw.dng: .dng is not read" in err
    assert "ignored: 1 AppleDouble files" in err
    assert run(["data", "check", "images", "--page", "page"]) == ExitCode.FAULTS
    out, err = capsys.readouterr()
    assert "1 .dng is not read" in out
    assert "imbalanced" in err
    assert "AppleDouble" in Path("page/index.html").read_text()
    Path("images/Negative/raw.dng").unlink()
    assert run(["data", "check", "images"]) == ExitCode.OK


def test_a_test_folder_is_used_by_search_best_and_evaluate_also_after_a_move(
    drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(drawn / "own", "own")
    spread(drawn / "other", ["tested/Cracked"], ["tested/Sound"])
    mapped = ["--map", "Cracked=Positive,Sound=Negative"]
    study = search("--data", "own", "--test", "tested", *mapped)
    err = capsys.readouterr().err
    assert "class Negative: 30 images (16 train, 4 validation, 10 test)" in err
    assert study.manifest().images == {"train": 32, "validation": 8, "test": 20}
    Path("own").rename("moved")
    assert run(["best", "s"]) == ExitCode.DATA
    resume = ["search", "--name", "s", "--resume", "--data"]
    Path("tested").rename("moved-tests")
    assert run([*resume, "moved", "--data", "moved-tests"]) == ExitCode.OK
    options = study.manifest().options
    assert (options.data, options.test) == (
        (str(Path("moved").resolve()),),
        str(Path("moved-tests").resolve()),
    )
    assert run(["best", "s"]) == ExitCode.OK
    metrics = study.metrics()
    assert metrics is not None
    assert (metrics.test.images, metrics.by_dataset) == (20, [])
    assert run(["show", "s"]) == ExitCode.OK
    assert (
        f"test split: {options.test} (32 train, 8 validation, 20 test)" in capsys.readouterr().out
    )
    assert run(["evaluate", "s", "--data", "moved-tests", *mapped]) == ExitCode.DATA
    assert "is new to study s" in capsys.readouterr().err


def test_a_folder_of_one_class_is_evaluated(drawn: Path) -> None:
    shutil.copytree(drawn / "own", "own")
    study = search("--data", "own")
    assert run(["best", "s"]) == ExitCode.OK
    shutil.copytree(drawn / "other" / "Positive", "cracks/Positive")
    assert run(["evaluate", "s", "--data", "cracks"]) == ExitCode.OK
    (external,) = study.evaluations()
    assert external.test.by_class["Positive"].support == 10
    assert external.test.by_class["Negative"].support == 0


def test_a_batch_that_is_too_large_is_named_and_not_the_image_size(
    drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["--data", str(drawn / "own"), "--image-size", "32", "--batch-size", "10000000"]
    assert run(["search", *typed]) == ExitCode.RESOURCES
    err = capsys.readouterr().err
    assert "--batch-size: batches of 10000000 images of 32 pixels are too large" in err
    assert "224 pixels" not in err
