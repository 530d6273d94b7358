import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path
from shutil import copy, copytree, ignore_patterns, which
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["cli", "study", "search", "models", "datasets", "results"]
WEIGHTS = "concrete_study/models/weights/vgg16_imagenet_notop.weights.h5"
WEIGHTS_SHA256 = "5b9c1bccb0b0ca9fcf4b14d918ed7367bdb5981cdfdb17c055eeda7ef1fd60ed"


class Built(NamedTuple):
    """The distributions of one checkout."""

    sdist: Path
    wheel: Path  # built from the sdist
    direct: Path  # the wheel built from the checkout


def run(*command: str | Path, folder: Path) -> str:
    """Standard output of a command that must succeed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def package_files() -> set[str]:
    """Every file of the installed package, without the user's images."""
    links = (ROOT / "concrete_study" / package for package in PACKAGES)
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in (ROOT / "concrete_study", *links)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return {path for path in found if not re.match(r"concrete_study/datasets/[^/]+/", path)}


def source_files() -> set[str]:
    """The files of the packages at their places in the checkout, without the user's images."""
    return {re.sub(rf"^concrete_study/({'|'.join(PACKAGES)})/", r"\1/", f) for f in package_files()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Distributions of a checkout in which a user has put images and run a study."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.lock"):
        copy(ROOT / name, checkout)
    for name in source_files():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, checkout / name)
    for package in PACKAGES:
        (checkout / "concrete_study" / package).symlink_to(f"../{package}")
    copytree(ROOT / "tests", checkout / "tests", ignore=ignore_patterns("__pycache__"))
    for name in ("datasets/Positive/00001.jpg", "runs/first/study.json"):
        (checkout / name).parent.mkdir(parents=True)
        (checkout / name).touch()
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir")
    run(*build, checkout / "dist", folder=checkout)  # the sdist, and the wheel from the sdist
    run(*build, checkout / "direct", "--wheel", folder=checkout)
    (sdist,), (wheel,), (direct,) = (
        (checkout / folder).glob(pattern)
        for folder, pattern in (("dist", "*.tar.gz"), ("dist", "*.whl"), ("direct", "*.whl"))
    )
    return Built(sdist, wheel, direct)


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_installs_one_top_level_package_with_all_its_files(built: Built) -> None:
    names = {name for name in contents(built.wheel) if ".dist-info/" not in name}
    assert names == package_files()
    assert {name.partition("/")[0] for name in names} == {"concrete_study"}
    assert {f"concrete_study/{package}/__init__.py" for package in PACKAGES} <= names
    assert {"concrete_study/py.typed", WEIGHTS} <= names


def test_the_wheel_is_the_same_from_the_checkout_and_from_the_sdist(built: Built) -> None:
    assert contents(built.wheel) == contents(built.direct)


def test_the_sdist_has_files_for_links_and_nothing_of_the_user(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        members = archive.getmembers()
    assert not [member.name for member in members if not (member.isfile() or member.isdir())]
    names = {member.name.partition("/")[2] for member in members}
    assert package_files() | {"tests/test_packaging.py", "requirements.lock"} <= names
    assert not [name for name in names if "Positive" in name or name.startswith("runs/")]


def test_the_wheel_carries_all_licences(built: Built) -> None:
    licences = {name.partition("/licenses/")[2] for name in contents(built.wheel)}
    echarts = {f"results/templates/report/echarts/{name}" for name in ("LICENSE", "NOTICE")}
    assert {"LICENSE", "models/weights/README.md"} | echarts <= licences


def other_distribution(folder: Path) -> Path:
    """A wheel that owns top-level packages named as folders of this project."""
    wheel = folder / "other-1.0-py3-none-any.whl"
    files = {f"{name}/__init__.py": "OWNER = 'other'" for name in ("datasets", "models", "search")}
    info = {
        "METADATA": "Metadata-Version: 2.1\nName: other\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "".join(f"{name},,\n" for name in files),
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in (
            files | {f"other-1.0.dist-info/{n}": t for n, t in info.items()}
        ).items():
            archive.writestr(name, text)
    return wheel


def test_the_wheel_works_next_to_packages_named_datasets_models_and_search(
    built: Built, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv/bin/python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index")
    wheels = (other_distribution(tmp_path), built.wheel)
    run(*pip, "--no-deps", "--no-compile", *wheels, folder=tmp_path)
    site = Path(
        run(python, "-c", "import site; print(site.getsitepackages()[0])", folder=tmp_path).strip()
    )
    # This environment provides the dependencies; an editable install here is a path of another
    # name, so it is not seen there.
    packages = [path for path in sys.path if path.endswith("-packages")]
    (site / "dependencies.pth").write_text("\n".join(packages))

    root = Path(tmp_path.anchor)
    assert "search" in run(tmp_path / "venv/bin/study", "--help", folder=root)
    code = (
        "import datasets, models, search, concrete_study.datasets.errors, concrete_study.models\n"
        "assert {m.OWNER for m in (datasets, models, search)} == {'other'}\n"
        "print(concrete_study.__file__)"
    )
    installed = Path(run(python, "-c", code, folder=root).strip()).parents[1]
    assert installed == site
    assert hashlib.sha256((site / WEIGHTS).read_bytes()).hexdigest() == WEIGHTS_SHA256


@pytest.mark.parametrize("package", PACKAGES)
def test_an_import_without_the_package_name_is_a_lint_error(package: str) -> None:
    for statement in (f"import {package}", f"from {package} import x", f"import {package}.x"):
        ended = subprocess.run(
            [sys.executable, "-m", "ruff", "check", "--stdin-filename", "made_up.py", "-"],
            cwd=ROOT,
            input=f"{statement}\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert "TID251" in ended.stdout, ended.stdout + ended.stderr


def test_every_package_is_a_relative_link_that_ruff_skips() -> None:
    for package in PACKAGES:
        link = ROOT / "concrete_study" / package
        assert link.readlink() == Path("..") / package
    ruff = (sys.executable, "-m", "ruff", "check", "--show-files", ".")
    checked = {Path(line).relative_to(ROOT) for line in run(*ruff, folder=ROOT).splitlines()}
    assert Path("cli/app.py") in checked
    assert Path("concrete_study/cli/app.py") not in checked


def locked() -> dict[str, str]:
    """Each entry of the lock with its hashes, by name."""
    entries = re.split(r"\n(?=\w)", (ROOT / "requirements.lock").read_text())[1:]
    return {re.split(r"==", entry)[0]: entry for entry in entries}


def test_the_lock_names_no_index_and_no_path() -> None:
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


def imported(folder: str = "") -> set[str]:
    """The top-level modules that the packages import, or all files of a folder."""
    names = [name for name in source_files() if name.endswith(".py")]
    paths = ROOT.glob(f"{folder}/*.py") if folder else [ROOT / name for name in names]
    lines = "\n".join(path.read_text() for path in paths)
    return set(re.findall(r"^\s*(?:import|from) (\w+)", lines, flags=re.MULTILINE))


def test_every_dependency_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=\[ ]", requirement)[0] for requirement in project["dependencies"]}
    modules = {"scikit-learn": "sklearn", "pillow": "PIL", "keras-tuner": "keras_tuner"}
    unused = {name for name in names if modules.get(name, name) not in imported()}
    assert unused == set()


def test_mypy_overrides_name_only_imported_packages() -> None:
    (override,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    assert {module.removesuffix(".*") for module in override["module"]} <= imported() | imported(
        "tests"
    )


@pytest.mark.skipif(which("git") is None, reason="git is not installed")
def test_git_ignores_images_and_studies_but_no_package(tmp_path: Path) -> None:
    run("git", "init", "--quiet", folder=tmp_path)
    copy(ROOT / ".gitignore", tmp_path)
    ours = sorted(source_files())
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
