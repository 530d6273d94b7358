"""What calibration and adaptation are worth on the images of another site.

    python benchmarks/next_site.py runs/metu-* --site TILES --split-by prefix > rows.jsonl
    python benchmarks/next_site.py runs/metu-* --site DECKS --only 7001 --unbalanced > rows.jsonl

For each retrained study, and for each number of labels, images of some groups (photographs) are
drawn and labelled, and the model is adapted to them as `study adapt` does; scores are those on the
images of all other groups. One JSON line per draw and method (each method that adapt may choose,
and `chosen`), then a table in Markdown: means over draws, then over studies, with the 95 %
interval over studies.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

from concrete_study.datasets.batches import subset_of
from concrete_study.datasets.groups import group_images, links_by_name
from concrete_study.datasets.progress import SILENT
from concrete_study.datasets.reading import read_folders
from concrete_study.datasets.splits import SplitRow
from concrete_study.models.classifier import Classifier
from concrete_study.models.export import KERAS_FILE
from concrete_study.results.calibration import Scaling
from concrete_study.results.folder import StudyFolder
from concrete_study.results.statistics import mean_interval
from concrete_study.search.images import reopen_data
from concrete_study.study.adaptation import draw_training_images, read_images
from concrete_study.study.adaptation_methods import Images, choose, fit_methods

SCORES = ("roc_auc", "balanced_accuracy", "loss")


def main() -> None:
    """Prints one JSON line per draw and method, then the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", type=Path, nargs="+")
    parser.add_argument("--site", type=Path, required=True)
    parser.add_argument("--split-by")
    parser.add_argument("--only", default="", help="only files whose name begins with this")
    parser.add_argument("--labels", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--unbalanced", action="store_true", help="draw labels from all images")
    given = parser.parse_args()
    rows = []
    for path in given.studies:
        for row in measure(StudyFolder(path), given):
            rows.append({"study": path.name, **row})
            print(json.dumps(rows[-1]), flush=True)
    print(table(pd.DataFrame(rows)).to_markdown(index=False))


def measure(study: StudyFolder, given: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Yields the scores of every draw and method."""
    site, old = read(study, given)
    metrics = study.required_metrics()
    if metrics.calibration is not None:  # the network before calibration
        slope = Scaling(metrics.calibration.temperature, (0.0,) * site.probabilities.shape[1])
        trained = slope.apply(site.probabilities)
        yield {"labels": 0, "method": "as trained", **scores(trained, site.labels)}
    yield {"labels": 0, "method": "calibrated", **scores(site.probabilities, site.labels)}
    for count in given.labels:
        for draw in range(given.draws):
            random = np.random.default_rng([count, draw])
            labelled, rest = split(site, count, random, balanced=not given.unbalanced)
            if labelled is None:
                continue
            fits = fit_methods(labelled, old, seed=draw)
            best = choose(fits, labelled.labels)
            own = {"labels": count, "draw": draw, "chosen": best}
            for name, fit in [*fits.items(), ("chosen", fits[best])]:
                result = scores(fit.adapted.probabilities(rest), rest.labels)
                yield {**own, "method": name, **result}


def read(study: StudyFolder, given: argparse.Namespace) -> tuple[Images, Images]:
    """The site's images, grouped by photograph, and training images of the study."""
    classifier = Classifier(study.best_path / KERAS_FILE)
    folder = read_folders({"": given.site}, SILENT)
    kept = [image for image in folder.images if Path(image.file).name.startswith(given.only)]
    links = links_by_name(folder, given.split_by) if given.split_by else []
    groups = group_images(kept, links)
    rows = [SplitRow(i.file, i.label, "external", groups[i.sha256], i.sha256) for i in kept]
    site = subset_of(folder.roots, rows, "external", study.manifest().classes)
    data = reopen_data(study, study.manifest())
    return (
        read_images(classifier, site, [row.group for row in rows], SILENT),
        draw_training_images(data, classifier, SILENT, seed=0),
    )


def split(
    images: Images, count: int, random: np.random.Generator, *, balanced: bool
) -> tuple[Images | None, Images]:
    """`count` labelled images of as few groups as needed, and the images of all other groups."""
    groups = np.array(images.groups)
    wanted = dict.fromkeys(range(2), count // 2) if balanced else {}
    chosen: list[int] = []
    for group in random.permutation(np.unique(groups)):
        for row in random.permutation(np.flatnonzero(groups == group)):
            label = int(images.labels[row])
            if balanced and not wanted[label]:
                continue
            if len(chosen) < count:
                chosen.append(int(row))
                if balanced:
                    wanted[label] -= 1
        if len(chosen) == count:
            break
    used = np.isin(groups, groups[chosen])
    labels = images.labels[chosen]
    few = min(np.bincount(labels, minlength=2)) < 2
    rest = images.select(np.flatnonzero(~used))
    return (None if few or len(chosen) < count else images.select(np.array(chosen))), rest


def scores(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, float]:
    """Scores of two classes, the second of them positive."""
    p = np.clip(probabilities.astype(np.float64), 1e-7, 1)
    return {
        "roc_auc": float(roc_auc_score(labels, p[:, 1])),
        "balanced_accuracy": float(balanced_accuracy_score(labels, p.argmax(1))),
        "loss": float(log_loss(labels, p / p.sum(axis=1, keepdims=True), labels=[0, 1])),
    }


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over draws, then over studies, with their interval."""
    of_study = rows.groupby(["labels", "method", "study"], sort=False)[list(SCORES)].mean()
    lines = []
    for (labels, method), part in of_study.groupby(level=[0, 1], sort=False):
        line: dict[str, object] = {"labels": labels, "method": method, "studies": len(part)}
        for name in SCORES:
            values = part[name].tolist()
            interval = mean_interval(values) if len(values) > 1 else None
            shown = f" ({interval.low:.3f} to {interval.high:.3f})" if interval else ""
            line[name] = f"{np.mean(values):.3f}{shown}"
        lines.append(line)
    return pd.DataFrame(lines)


if __name__ == "__main__":
    main()
