"""Damages every file of a study and of the cache in turn, and runs the commands that read it.

    python benchmarks/damage.py
    python benchmarks/damage.py --files 1 --commands show report
    python benchmarks/damage.py --commands search resume retrain --cases 200  # drawn at random

A study of 28 drawn images at 32 pixels goes through search, best, evaluate, adapt, audit and
report. Then each of its files, and each file of the feature cache, is damaged in every way of
`DAMAGES`, and each command that opens it runs in this process. Which files a command opens is
seen when it runs without damage. Allowed are

- repaired: the same output and the same files as without the damage;
- refused: one message that names the file and says what to do, with a documented exit code.

Anything else is wrong: a traceback, another result, over two minutes, a message without a name.
Prints a table of counts and what is wrong; the exit code is 1 after anything wrong. Linux and
macOS; as root on Linux it needs `setpriv`, since root may read every file.
"""

import argparse
import os
import random
import sys
from collections import Counter, defaultdict
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from damage_harness import Harness
from damages import DAMAGES

from concrete_study.cli.app import run
from concrete_study.datasets.sample import make_sample

SMALL = (
    *("--image-size", "32", "--views", "2", "--batch-size", "8", "--precision", "float32"),
    *("--seed", "5", "--max-epochs", "2", "--algorithm", "random", "--trials", "2"),
    *("--folds", "2", "--space", "space.toml"),
)
SEARCH = ("search", "--data", "images", *SMALL)
SPACE = 'head_units = 0\nunfreeze_depth = [0, 1]\nfeature_layers = "block5"\n'
MAKE = (
    (*SEARCH, "--name", "x"),
    ("best", "x", "--export", "--format", "keras"),
    ("evaluate", "x", "--data", "site"),
    ("adapt", "x", "--data", "site"),
    ("audit", "x"),
    ("report", "x"),
)
COMMANDS = {
    "list": ("list",),
    "show": ("show", "x"),
    "config": ("config", "x"),
    "compare": ("compare", "x", "x"),
    "report": ("report", "x"),
    "best": ("best", "x"),
    "export": ("best", "x", "--export", "--format", "keras"),
    "retrain": ("best", "x", "--retrain"),
    "predict": ("predict", "--study", "x", "--recall", "0.9", "site"),
    "predict adapted": ("predict", "--study", "x:site", "site"),
    "explain": ("explain", "--study", "x", "site/Positive/0000.jpg", "--output", "runs/e.png"),
    "evaluate": ("evaluate", "x", "--data", "site"),
    "adapt": ("adapt", "x", "--data", "site"),
    "audit": ("audit", "x"),
    "resume": ("search", "--name", "x", "--resume"),
    "search": (*SEARCH, "--name", "y"),
    "data check": ("data", "check", "images"),
    "rename": ("rename", "x", "z"),
    "doctor": ("doctor",),
}


def make(folder: Path) -> None:
    """A finished study and its cache."""
    make_sample(folder / "images", images=28, size=48, seed=3)
    make_sample(folder / "site", images=28, size=48, seed=11)
    (folder / "space.toml").write_text(SPACE)
    with chdir(folder):
        for command in MAKE:
            if code := run(command):
                raise SystemExit(f"{command} ended with code {code}")


def main() -> None:
    """Damages every file and prints what happens."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2, help="of one folder and suffix")
    parser.add_argument("--folder", type=Path, help="keeps the study for another run")
    parser.add_argument("--only", default="", help="files whose path contains this")
    parser.add_argument("--cases", type=int, help="run so many, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn cases")
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=[*COMMANDS])
    given = parser.parse_args()
    if os.geteuid() == 0 and "DAMAGE_DROPPED" not in os.environ:
        drop = "--bounding-set=-dac_override,-dac_read_search"
        os.execvpe(  # noqa: S606 - this program, with fewer rights
            "setpriv",  # noqa: S607
            ["setpriv", drop, sys.executable, *sys.argv],
            os.environ | {"DAMAGE_DROPPED": "1"},
        )
    counts, wrong = defaultdict[str, Counter[str]](Counter), []
    with TemporaryDirectory(prefix="damage-") as name:
        folder = (given.folder or Path(name)).resolve()
        os.environ["GIT_DIR"] = "nowhere"  # a commit meanwhile is no difference
        os.environ["STUDY_CACHE_DIR"] = str(folder / "cache")
        if not (folder / "whole").exists():
            make(folder)
        harness = Harness(folder, {name: COMMANDS[name] for name in given.commands})
        files = [file for file in harness.files(given.files) if given.only in file]
        cases = harness.cases(files)
        print(f"{len(files)} files, {len(cases)} cases", flush=True)
        if given.cases and given.cases < len(cases):
            cases = random.Random(given.seed).sample(cases, given.cases)
        for case, result in harness.check(cases):
            counts[case.damage][result if result in ("repaired", "refused") else "wrong"] += 1
            if result not in ("repaired", "refused"):
                wrong.append(f"{case.file}, {case.damage}, {case.command}: {result}")
                print(wrong[-1], flush=True)
    print("\n| damage | repaired | refused | wrong |\n|---|---|---|---|")
    for kind in DAMAGES:
        found = counts[kind]
        print(f"| {kind} | {found['repaired']} | {found['refused']} | {found['wrong']} |")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
