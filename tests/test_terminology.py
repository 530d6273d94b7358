"""Names, messages, help, templates and pages use the standard terms of the field.

Each pattern is a term that is easy to fall back to, with the standard one. They are chosen so that
ordinary English rarely matches; where it does, `EXCEPTIONS` has the file and the reason.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("cli", "study", "search", "models", "results", "datasets", "tests", "benchmarks", "docs")
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs",
    "benchmarks/README.md",
    "models/weights/README.md",
)

# In sentences, headings and keys: strings, comments, templates and pages.
TERMS = {
    r"said|told": "log, report, print, predict",
    r"anew|once more": "again",
    r"mend(s|ed|ing)?": "fix",
    r"beside|elsewhere|other photographs": "next to; external test set",
    r"lets? go": "resets, releases",
    r"pictures?|drawn photographs?": "image; synthetic images",
    r"copies|with copy|the same picture": "near-duplicates, exact duplicates",
    r"kept epoch": "best epoch",
    r"(head|tune) rates?": "head / fine-tuning learning rate",
    r"sought( class)?": "positive class",
    r"decoys?": "hard negatives",
    r"rehears(e|ed|al)": "simulated schedule",
    r"what (it|they) (would|will) take": "estimated cost",
    r"standings": "ranking",
    r"speaks? for|where (it|the \w+) looked|attention": "Grad-CAM heat map",
    r"mistakes?": "misclassified images; error",
    r"(?<!forward\s)pass(es)? through VGG16|taken through VGG16": "forward passes",
    r"told apart|stands? out|flatters?": "significant; data leakage",
    r"pieces? of evidence": "clustered by group",
    r"(least|most|less|more) sure": "confident",
    r"climbs?|goes on|go on|went on": "is promoted; continues",
    r"held[- ]out|hold-out": "external test set",
    r"(flipped|mirrored|or) turned|turned or|, turned": "rotated",
    r"learners?": "trainable part",
    r"the seed's (recipe|settings)|the original script": "reference recipe",
    r"stock( keras)?": "plain Keras Tuner; baseline",
    r"(a|the|each|every|nearest|all|which) cuts?": "feature layer",
    r"processors?": "CPU",
    r"albums?|the house": "gallery; project layout",
    r"(the|our|no|an) answers?|answers (by|the|to)": "prediction, result",
    r"-0\.0+(?![\d.e])": "0.0000",
}
PROSE = {
    re.compile(rf"(?<![\w-])({term})(?!\w)", re.IGNORECASE): use for term, use in TERMS.items()
}

# In names: whole words between underscores or capitals.
WORDS = {
    "said": "printed",
    "told": "log",
    "tell": "log",
    "anew": "again",
    "mend": "fix",
    "beside": "next_to",
    "elsewhere": "external",
    "picture": "image",
    "pictures": "images",
    "copies": "near_duplicates",
    "sought": "positive_class",
    "decoy": "hard_negative",
    "decoys": "hard_negatives",
    "rehearsal": "simulation",
    "standings": "ranking",
    "mistake": "misclassified",
    "mistakes": "misclassified",
    "attention": "grad_cam",
    "looked": "grad_cam",
    "sure": "confidence",
    "alarms": "false_positive_rate",
    "stage": "checkpoint",
    "stages": "checkpoints",
    "learner": "trainable",
    "structure": "architecture",
    "structures": "architectures",
    "cut": "feature_layer",
    "cuts": "feature_layers",
    "place": "position, path",
    "places": "ranks, paths",
    "album": "gallery",
    "facts": "report_data",
    "remains": "leftovers",
    "stock": "plain, baseline",
    "answer": "prediction, result",
    "answers": "predictions",
}

# Ordinary English or another program's word, by file and term.
EXCEPTIONS = {
    ("tests/small_server.py", "answer"),  # an HTTP server answers
    ("tests/small_server.py", "answers"),
    ("tests/test_cli_data_fetch.py", "answers"),
    ("tests/test_datasets_download.py", "answers"),
    ("models/features.py", "processor"),  # part of a cache key; see the comment there
    ("tests/test_results_environment.py", "processor"),  # a key of /proc/cpuinfo
    ("results/formats.py", "-0.0"),  # what is avoided
    ("tests/test_results_report.py", "-0.0000"),
}


def python_files(folder: str) -> list[Path]:
    """The Python files of a folder, without this one."""
    return [path for path in sorted((ROOT / folder).rglob("*.py")) if path != Path(__file__)]


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every name that a module defines, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr


def words(name: str) -> list[str]:
    """The lower-case words of a name in snake case or camel case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")


def sentences(source: str) -> Iterator[tuple[int, str]]:
    """Every string and comment of a module, with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def terms(text: str) -> Iterator[tuple[str, str]]:
    """The terms in a text that are not standard, each with the standard one."""
    joined = " ".join(text.split())
    for pattern, use in PROSE.items():
        for found in pattern.finditer(joined):
            yield found[0].lower(), use


def complain(found: list[tuple[str, int, str, str]]) -> None:
    """Fails with one line per term that is not standard and no exception."""
    lines = [
        f"{path}:{line}: {term!r} (use: {use})"
        for path, line, term, use in found
        if (path, term) not in EXCEPTIONS
    ]
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)


@pytest.mark.parametrize("folder", FOLDERS)
def test_names_are_standard(folder: str) -> None:
    complain(
        [
            (str(path.relative_to(ROOT)), line, word, WORDS[word])
            for path in python_files(folder)
            for line, name in [(1, path.stem), *names(ast.parse(path.read_text(encoding="utf-8")))]
            for word in words(name)
            if word in WORDS
        ]
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_strings_and_comments_are_standard(folder: str) -> None:
    complain(
        [
            (str(path.relative_to(ROOT)), line, term, use)
            for path in python_files(folder)
            for line, text in sentences(path.read_text(encoding="utf-8"))
            for term, use in terms(text)
        ]
    )


def pages() -> list[Path]:
    """Documentation and templates."""
    found = list((ROOT / "results" / "templates").rglob("*.jinja"))
    for page in PAGES:
        found += sorted((ROOT / page).rglob("*.md")) if (ROOT / page).is_dir() else [ROOT / page]
    return found


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_are_standard(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    complain(
        [
            (
                str(page.relative_to(ROOT)),
                text.count("\n", 0, found.start()) + 1,
                found[0].lower(),
                use,
            )
            for pattern, use in PROSE.items()
            for found in re.finditer(pattern.pattern.replace(" ", r"\s+"), text, re.IGNORECASE)
        ]
    )


def test_the_patterns_match_terms_and_no_ordinary_words() -> None:
    for text in ("Show what speaks for the class.", "head rate 1e-3", "kept epoch 8", "-0.0000"):
        assert list(terms(text)), text
    for text in ("in place", "saidi", "recipes", "a passes-through test", "-0.0001", "rotated"):
        assert not list(terms(text)), text
    assert words("FalseAlarms_of_file2B") == ["false", "alarms", "of", "file2", "b"]
