"""Near-duplicates of METU: recall of known ones, and cost by number of images.

    python benchmarks/duplicates.py --data METU --truth GROUPS.csv --sizes 1000 2000 4000 40000

Larger sizes are filled up with generated images: a third are near-duplicates, the others mix a
quarter of one image with a quarter of another. One core: run it under `taskset -c 0`.
"""

import argparse
import csv
import json
import random
import resource
import tempfile
import time
from collections.abc import Mapping
from itertools import combinations
from os import environ
from pathlib import Path

from generated_duplicates import make_duplicates, make_variations, recall_of_duplicates
from PIL import Image

from concrete_study.datasets.decoding import decode_image
from concrete_study.datasets.duplicates import find_pairs
from concrete_study.datasets.folders import LabelledImage, read_folder
from concrete_study.datasets.groups import group_images

# Of the generated images; with those of metu-4000 as many as in METU: 12,390 of 40,000.
NEAR_DUPLICATES = 0.33


def main() -> None:
    """Prints one JSON line for the truth, for each kind of generated duplicate, for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--generated", type=int, default=0, help="number of generated duplicates")
    parser.add_argument("--sheet", type=Path, help="image file for the pairs that TRUTH lacks")
    parser.add_argument("--sizes", type=int, nargs="*", default=[])
    arguments = parser.parse_args()
    folder = read_folder(arguments.data)
    images, paths = folder.images, folder.files()
    with tempfile.TemporaryDirectory() as scratch:
        environ["STUDY_CACHE_DIR"] = scratch
        if arguments.truth:
            known, found, least = compare_with_truth(arguments.data, images, arguments.truth)
            print_line(
                known_pairs=len(known),
                found_of_them=len(known & found),
                found_additionally=len(found - known),
                least_correlation=least,
            )
            if arguments.sheet:
                pairs = [(paths[a], paths[b]) for a, b in sorted(found - known)]
                draw_sheet(pairs, arguments.sheet)
        if arguments.generated:
            groups = group_images(images, [pair[:2] for pair in find_pairs(paths)])
            unique = {groups[image.sha256]: paths[image.sha256] for image in images}
            chosen = random.Random(1).sample(list(unique.values()), arguments.generated)
            for kind, recall, wrong in recall_of_duplicates(chosen, Path(scratch)):
                print_line(kind=kind, recall=recall, false_positives=wrong)
        for size in arguments.sizes:
            print_cost(paths, size, Path(scratch))


def print_line(**figures: object) -> None:
    """Prints figures as a JSON line."""
    print(json.dumps(figures), flush=True)


def print_cost(paths: dict[str, Path], size: int, scratch: Path) -> None:
    """Finds the pairs among `size` images, the missing ones generated, and prints the cost."""
    files = dict(list(paths.items())[:: max(1, len(paths) // size)][:size])
    duplicates = round(NEAR_DUPLICATES * (size - len(files)))
    if size > len(files):
        unique = size - len(files) - duplicates
        files |= make_variations(list(files.values()), unique, scratch)
        files |= make_duplicates(list(files.values()), duplicates, scratch)
    start, cpu = time.monotonic(), time.process_time()
    pairs = find_pairs(files)
    print_line(
        images=len(files),
        pairs=len(pairs),
        seconds=round(time.monotonic() - start, 1),
        cpu_seconds=round(time.process_time() - cpu, 1),
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )


def compare_with_truth(
    root: Path, images: list[LabelledImage], truth: Path
) -> tuple[set[tuple[str, str]], set[tuple[str, str]], float]:
    """Pairs of one group, known and found, and the least correlation of those found."""
    with truth.open(newline="") as file:
        known = _pairs({row["sha256"]: row["group"] for row in csv.DictReader(file)})
    found = find_pairs({image.sha256: root / image.file for image in images})
    pairs = _pairs(group_images(images, [pair[:2] for pair in found]))
    return known, pairs, min(pair.correlation for pair in found)


def draw_sheet(
    pairs: list[tuple[Path, Path]], path: Path, *, side: int = 72, columns: int = 8
) -> None:
    """Draws pairs side by side, for visual inspection."""
    rows = -(-len(pairs) // columns)
    sheet = Image.new("RGB", (columns * (2 * side + 8), rows * (side + 8)), "white")
    for number, pair in enumerate(pairs):
        row, column = divmod(number, columns)
        for index, file in enumerate(pair):
            image = Image.fromarray(decode_image(file, side))
            sheet.paste(image, (column * (2 * side + 8) + index * side, row * (side + 8)))
    sheet.save(path, quality=85)


def _pairs(groups: Mapping[str, str]) -> set[tuple[str, str]]:
    members: dict[str, list[str]] = {}
    for digest, group in sorted(groups.items()):
        members.setdefault(group, []).append(digest)
    return {pair for group in members.values() for pair in combinations(group, 2)}


if __name__ == "__main__":
    main()
