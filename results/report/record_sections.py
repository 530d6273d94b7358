"""The sections on what went in: images, split, faults, environment, commands."""

import shlex
from collections import Counter
from typing import Any

import pandas as pd

from concrete_study.datasets.splits import SplitRow
from concrete_study.results.formats import counted, toml_value
from concrete_study.results.records import STORED_VIEWS
from concrete_study.results.report.data import Facts, folders
from concrete_study.results.report.elements import (
    Block,
    Code,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Table,
)
from concrete_study.results.report.images import Album, samples

_FLAGS = {"groups": "--no-groups", "keep_conflicts": "--keep-conflicts"}


def sample_sections(facts: Facts, album: Album) -> list[Section]:
    """Photographs of each class, if they are where they were."""
    sheets: list[Block] = []
    for number, label in enumerate(sorted({row.label for row in facts.rows}), start=1):
        files = samples(facts.rows, label)
        sheets += album.sheet(f"class-{number}", label, files, files)
    shown = [*sheets, *_views(facts)]
    if not any(isinstance(block, Pictures) for block in shown):
        return []
    return [Section("samples", "Training images", shown)]


def _views(facts: Facts) -> list[Block]:
    """What training sees of some photographs."""
    if facts.illustrations is None:
        return []
    sheets: list[Block] = []
    for number, label in enumerate(facts.classes):
        paths = sorted((facts.illustrations / "views").glob(f"{number}-*.jpg"))
        captions = [f"view {view}" if view else "plain" for view in range(len(paths))]
        pictures = [
            Picture(f"view-{path.stem}", caption, path.read_bytes())
            for path, caption in zip(paths, captions, strict=True)
        ]
        caption = f"One photograph of {label} as the epochs of training see it."
        sheets += [Pictures(caption, pictures)] if pictures else []
    return sheets


def closing_sections(facts: Facts) -> list[Section]:
    """With what it was made, and how to make it again."""
    manifest = facts.manifest
    versions = (manifest.get("versions") or {}) | {"commit": manifest.get("commit")}
    rows = [(what, found) for what, found in versions.items() if found]
    table = pd.DataFrame(rows, columns=["what", "version"])
    blocks: list[Block] = [Paragraph(_sessions(manifest))]
    if len(table):
        blocks.append(Table("environment", "What the search ran on.", table))
    blocks.append(Code(commands(manifest, facts.metrics)))
    if manifest["options"].get("space"):
        blocks.append(Paragraph("`space.toml`, the searched space, is beside this report:"))
        blocks.append(Code(space_toml(manifest)))
    return [Section("environment", "Environment and commands", blocks)]


def split_table(rows: list[SplitRow]) -> pd.DataFrame:
    """Images by subset and class: subset, one column per class, images, pictures (groups)."""
    classes = sorted({row.label for row in rows})
    table = []
    for subset in dict.fromkeys(row.subset for row in sorted(rows, key=_by_subset)):
        here = [row for row in rows if row.subset == subset]
        counts = Counter(row.label for row in here)
        groups = len({row.group for row in here})
        table.append([subset, *(counts[name] for name in classes), len(here), groups])
    return pd.DataFrame(table, columns=["subset", *classes, "images", "pictures"])


def commands(manifest: dict[str, Any], metrics: dict[str, Any] | None) -> str:
    """What to type to repeat the study, beside `space.toml`; every option is spelled out."""
    options, name = manifest["options"], manifest.get("name", "again")
    words = ["study", "search", "--name", name]
    for key, value in options.items():
        flag = f"--{key.replace('_', '-')}"
        if key == "space":
            words += ["--space", "space.toml"]
        elif key in ("data", "external_test"):
            words += [word for folder in folders(value) for word in (flag, folder)]
        elif key in _FLAGS:
            words += [_FLAGS[key]] if value is (key == "keep_conflicts") else []
        elif value is not None:
            words += [flag, str(value)]
    lines = [_folded(words)]
    if metrics is not None:
        best = ["study", "best", name, "--epochs", str(metrics["epochs"])]
        fast = ["--fast"] if metrics["trained_on"] == STORED_VIEWS else []
        lines.append(_folded(best + fast))
    return "\n".join(lines)


def space_toml(manifest: dict[str, Any]) -> str:
    """The searched space as `study search --space` takes it."""
    space = manifest["options"]["space"]
    return "".join(f"{name} = {toml_value(dimension)}\n" for name, dimension in space.items())


def split_sections(facts: Facts) -> list[Section]:
    """The split, copies and faults; none before the images were read."""
    if not facts.rows:
        return []
    manifest, rows = facts.manifest, list(facts.rows)
    sizes = Counter(row.group for row in rows)
    several = [size for size in sizes.values() if size > 1]
    if manifest.get("groups") is None:
        text = (
            "Split by file: copies of one picture were not looked for, so one may have been "
            "trained on and another tested."
        )
    elif several:
        text = (
            f"Split by picture: {sum(several)} images belong to {len(several)} groups of one "
            f"picture (the largest of {max(several)} files), and no group is in two subsets."
        )
    else:
        text = "Split by picture: no image is a copy of another."
    faults = pd.DataFrame(manifest.get("faults") or [], columns=["file", "reason"])
    conflicts = manifest.get("conflicts") or []
    text += (
        f" {counted(len(faults), 'file')} could not be read; "
        f"{counted(len(conflicts), 'picture')} under several classes."
    )
    blocks: list[Block] = [
        Paragraph(text),
        Table("split", "Images by subset and class.", split_table(rows)),
    ]
    if len(faults):
        blocks.append(Table("faults", "Files that were left out.", faults))
    if conflicts:
        kept = manifest["options"].get("keep_conflicts")
        said = "kept all the same" if kept else "left out of all subsets"
        files = [(number, file) for number, group in enumerate(conflicts, 1) for file in group]
        table = pd.DataFrame(files, columns=["picture", "file"])
        blocks.append(Table("conflicts", f"One picture under several classes: {said}.", table))
    return [Section("split", "Split, copies and faults", blocks)]


def _folded(words: list[str]) -> str:
    """A command over several lines, broken between options, never within a quoted word."""
    lines = [""]
    for word in map(shlex.quote, words):
        if len(lines[-1]) + len(word) > 84 and word.startswith("--"):
            lines.append("   ")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return " \\\n".join(lines)


def _sessions(manifest: dict[str, Any]) -> str:
    sessions = manifest.get("sessions") or []
    started = ", ".join(str(session["started"]) for session in sessions)
    commits = {session.get("commit") for session in sessions}
    text = f"Searched in {counted(len(sessions), 'session')} (begun {started})." if sessions else ""
    if len(commits) > 1:
        text += " They ran different commits; the table has the first."
    return f"{text} To repeat it, with the same versions:".strip()


def _by_subset(row: SplitRow) -> tuple[int, str]:
    order = ("train", "validation", "test")
    return (order.index(row.subset) if row.subset in order else len(order), row.subset)
