"""Where and with what a study ran, for `study.json` and the model card."""

import platform
import subprocess
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
PARTS = ("cli", "study", "search", "models", "results", "datasets", "pyproject.toml")
ROOT = Path(__file__).resolve().parents[1]  # also through the link in concrete_study/


def versions() -> dict[str, str]:
    """Python, the platform, the processor and the packages that decide the numbers."""
    found = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's model name; its architecture where the system names no model."""
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
        it was installed as a wheel, or if git is missing or refuses.
    """
    if not (root / ".git").exists() or not (commit := _git(root, "rev-parse", "HEAD")):
        return None
    # What a user keeps beside it, such as the page of `study data check`, changes no number.
    clean = _git(root, "status", "--porcelain", "--", *PARTS) == ""
    return commit if clean else f"{commit}-dirty"


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None if it is not installed or fails."""
    try:
        ended = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None
