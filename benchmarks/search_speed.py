"""A whole Hyperband study, ours and plain Keras Tuner's (the baseline), on real images. Linux only.

    python benchmarks/search_speed.py --images 100 --precision float32 bfloat16
    python benchmarks/search_speed.py --images 400 --baseline-trials 6 --output rows.jsonl
    python benchmarks/search_speed.py --images 400 --contenders ours lower-bound
    python benchmarks/search_speed.py --images 400 --baseline-trials 4 --folds 5 \
        --contenders ours baseline
    python benchmarks/search_speed.py --smoke  # 24 images of 32 pixels, a minute

A JSON line per contender as it ends, then tables, ratios first. Expected at 400 images on two
cores: baseline / ours at least 20 each in its default and 10 both at float32, ours / lower bound
at most 1.3.

Equal, and checked: images, split, batch size, hyperparameters and epochs of all trials. For that,
promoted trials of the baseline start from initial weights as ours do (144 epochs, not 120) and its
oracle receives our scores; with `--baseline-resume` Keras Tuner is unchanged and only the first
rounds are equal. Not equal: ours cycles through 5 stored float16 views, the baseline has new ones;
weights, order and dropout have other random numbers; by default the baseline computes in float32,
ours in the precision that suits the CPU. `--baseline-trials` extrapolates the rest. See README.md.
"""

import argparse
import json
import sys
from contextlib import nullcontext
from itertools import product
from pathlib import Path

from table import COLUMNS, ratios, remark, table

from concrete_study.models.quiet import import_tensorflow

PHOTOGRAPHS = Path(__file__).resolve().parents[1] / "datasets"  # `study data fetch metu`
# In the order in which they run; the last needs an extra package and is run only if it is named.
CONTENDERS = ("ours", "ours-again", "lower-bound", "baseline", "ray-tune")
DEFAULTS = {"size": 224, "batch_size": 32, "max_epochs": 10, "factor": 3, "views": 5, "seed": 1}


def parse_arguments() -> argparse.Namespace:
    """The options; `--smoke` overrides those of size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[100])
    precisions = ("float32", "bfloat16", "default")
    parser.add_argument("--precision", nargs="+", choices=precisions, default=["default"])
    parser.add_argument(
        "--contenders",
        nargs="+",
        choices=CONTENDERS,
        default=CONTENDERS[:-1],
        help="which to run, ours among them (default: all but ray-tune)",
    )
    parser.add_argument("--data", type=Path, default=PHOTOGRAPHS, help="folders of real images")
    parser.add_argument("--space", type=Path, help="TOML file, as study search takes it")
    for name, default in DEFAULTS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--baseline-trials", type=int, help="train so many; extrapolate the rest")
    parser.add_argument(
        "--folds", type=int, default=0, help="ours by folds, the baseline with as many executions"
    )
    parser.add_argument("--baseline-resume", action="store_true", help="Keras Tuner unchanged")
    parser.add_argument("--smoke", action="store_true", help="24 images, 32 pixels, 4 epochs")
    parser.add_argument("--output", type=Path, help="append the JSON lines here, not to stdout")
    args = parser.parse_args()
    if "ours" not in args.contenders:
        parser.error("--contenders needs ours: the others take its images, trials and features")
    if "ray-tune" in args.contenders and "baseline" not in args.contenders:
        parser.error("--contenders ray-tune needs baseline: it takes its images and trials")
    if args.baseline_resume and args.baseline_trials:
        parser.error("--baseline-resume needs every parent trained: leave out --baseline-trials")
    if args.smoke:
        args.images, args.size, args.max_epochs, args.views = [24], 32, 4, 2
    if args.folds and "lower-bound" in args.contenders:
        parser.error("--folds: the lower bound is that of a single split; choose other contenders")
    args.contenders = [name for name in CONTENDERS if name in args.contenders]
    args.space = args.space and args.space.resolve()
    return args


def main() -> None:
    """Every size at every precision, and the tables."""
    args = parse_arguments()
    import_tensorflow()
    from contenders import compare

    compared, measured = [], []
    for images, precision in product(args.images, args.precision):
        case = argparse.Namespace(**vars(args) | {"images": images, "precision": precision})
        rows = []
        for row in compare(case):
            rows.append(row)
            with args.output.open("a") if args.output else nullcontext(sys.stdout) as output:
                print(json.dumps(row), file=output, flush=True)
        compared.append(ratios(rows))
        measured += [row | {"note": remark(row)} for row in rows]
    print(table(compared, list(compared[0])), table(measured, COLUMNS), sep="\n\n")


if __name__ == "__main__":
    main()
