import hashlib
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path
from shutil import copy, which

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["study", "search", "models", "datasets", "results"]
WEIGHTS = "models/weights/vgg16_imagenet_notop.weights.h5"
WEIGHTS_SHA256 = "5b9c1bccb0b0ca9fcf4b14d918ed7367bdb5981cdfdb17c055eeda7ef1fd60ed"


def run(*command: str | Path, folder: Path) -> str:
    """What the command printed; its errors show when it fails."""
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def project_files(root: Path) -> set[str]:
    """Every file of the five packages, relative to the root, without the user's images."""
    found = {
        path.relative_to(root).as_posix()
        for package in PACKAGES
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return {path for path in found if not re.match(r"datasets/[^/]+/", path)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of a checkout in which a user has put photographs and run a study."""
    checkout = tmp_path_factory.mktemp("checkout")
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        copy(ROOT / file, checkout)
    for path in project_files(ROOT):
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / path, checkout / path)
    for photograph in ("datasets/Positive/00001.jpg", "runs/first/study.json"):
        (checkout / photograph).parent.mkdir(parents=True)
        (checkout / photograph).touch()
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", checkout / "dist")
    run(*build, folder=checkout)  # the sdist, and the wheel from the sdist
    return next((checkout / "dist").glob("*.whl"))


def test_the_wheel_has_every_file_of_the_five_packages_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == project_files(wheel.parents[1])
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert WEIGHTS in names


def test_the_wheel_carries_all_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        licences = {name.partition("/licenses/")[2] for name in archive.namelist()}
    echarts = {f"results/templates/report/echarts/{name}" for name in ("LICENSE", "NOTICE")}
    assert {"LICENSE", "models/weights/README.md"} | echarts <= licences


def test_the_wheel_works_in_another_environment(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv/bin/python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*pip, "--no-index", "--no-deps", "--no-compile", wheel, folder=tmp_path)
    site = Path(
        run(python, "-c", "import site; print(site.getsitepackages()[0])", folder=tmp_path).strip()
    )
    # The dependencies are lent by this environment. Its own .pth files do not count there, so
    # an editable install here is not seen.
    (site / "lent.pth").write_text(sysconfig.get_path("purelib"))

    root = Path(tmp_path.anchor)
    assert "search" in run(tmp_path / "venv/bin/study", "--help", folder=root)
    code = f"import models, pathlib; print(pathlib.Path(models.__file__).parents[1] / {WEIGHTS!r})"
    weights = Path(run(python, "-c", code, folder=root).strip())
    assert weights.is_relative_to(site)
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == WEIGHTS_SHA256


def locked() -> dict[str, str]:
    """Each entry of the lock with its hashes, by name."""
    entries = re.split(r"\n(?=\w)", (ROOT / "requirements.lock").read_text())[1:]
    return {re.split(r"==", entry)[0]: entry for entry in entries}


def test_the_lock_names_no_index_and_no_place() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?:|file:|^-|--(extra-)?index|--find-links| @ |/\w+/", text, re.M)


def test_every_locked_package_has_a_version_and_a_hash() -> None:
    for name, entry in locked().items():
        assert re.match(rf"{name}==[\w.+]+ ", entry), entry
        assert "--hash=sha256:" in entry, name


def test_the_lock_has_every_dependency_and_no_package_of_our_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    names = {re.split(r"[<>=\[ ]", requirement)[0] for requirement in wanted}
    assert names <= locked().keys()
    assert not locked().keys() & set(PACKAGES)


def imported() -> set[str]:
    """The top-level modules that the five packages import."""
    lines = "\n".join(
        path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py")
    )
    return set(re.findall(r"^\s*(?:import|from) (\w+)", lines, flags=re.MULTILINE))


def test_every_dependency_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=\[ ]", requirement)[0] for requirement in project["dependencies"]}
    modules = {"scikit-learn": "sklearn", "pillow": "PIL", "keras-tuner": "keras_tuner"}
    unused = {name for name in names if modules.get(name, name) not in imported()}
    assert unused == set()


def test_mypy_is_told_only_of_packages_that_are_imported() -> None:
    (override,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    assert {module.removesuffix(".*") for module in override["module"]} <= imported()


@pytest.mark.skipif(which("git") is None, reason="git is not installed")
def test_git_ignores_images_and_studies_but_no_package(tmp_path: Path) -> None:
    run("git", "init", "--quiet", folder=tmp_path)
    copy(ROOT / ".gitignore", tmp_path)
    ours = sorted(project_files(ROOT))
    users = ["datasets/Positive/1.jpg", "runs/first/study.json", ".venv/bin/python"]
    ended = subprocess.run(
        ["git", "check-ignore", "--stdin"],
        cwd=tmp_path,
        input="\n".join(ours + users),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.split() == users
