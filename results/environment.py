"""The environment of a study: time, versions, CPU and commit."""

import platform
import subprocess
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "concrete-study",
    "tensorflow",
    "keras",
    "keras-tuner",
    "numpy",
    "pillow",
    "scikit-learn",
    "scipy",
    "pandas",
)
PARTS = (
    "concrete_study",
    "cli",
    "study",
    "search",
    "models",
    "results",
    "datasets",
    "pyproject.toml",
)
ROOT = Path(__file__).resolve().parents[1]  # also through the link in concrete_study/


def now() -> str:
    """Local time with its offset, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of Python, the platform and the packages that affect results, and the CPU."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    found["cpu"] = cpu_model()
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The CPU's model name; its architecture where the system names no model."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, names), "") or platform.processor() or platform.machine()


def git_commit(root: Path = ROOT) -> str | None:
    """The commit of the checkout at `root`, by default the one this program runs from.

    Returns:
        40 hexadecimal digits, and `-dirty` if a file of the program is changed or new; None if
        it is installed as a wheel, or if git is missing or fails.
    """
    if not (root / ".git").exists() or not (commit := _git(root, "rev-parse", "HEAD")):
        return None
    # Other files of the user in the checkout affect no result.
    clean = _git(root, "status", "--porcelain", "--", *PARTS) == ""
    return commit if clean else f"{commit}-dirty"


def _git(root: Path, *arguments: str) -> str | None:
    """The output of git; None if it is not installed or fails."""
    try:
        ended = subprocess.run(  # noqa: S603 - no shell; our own arguments
            ["git", *arguments],  # noqa: S607 - the user's own git, as in their shell
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None
