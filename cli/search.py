"""`study search`: search the hyperparameter space."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from concrete_study.cli.arguments import LabelsOption, MapOption, store_new_folders, typed
from concrete_study.cli.session import run_study

if TYPE_CHECKING:
    from concrete_study.results.folder import StudyFolder
    from concrete_study.results.records import SearchOptions


def search_command(
    context: typer.Context,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Folder with one sub-folder per class, or a zip file; repeatable: all images "
            "form one dataset. With --resume: the new folder if the images have moved.",
            show_default="datasets/, or the built-in sample",
        ),
    ] = None,
    class_map: MapOption = None,
    labels: LabelsOption = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the study.", show_default="ALGORITHM-NUMBER")
    ] = None,
    max_epochs: Annotated[
        int, typer.Option(help="Epochs of the highest rung (epoch budget).")
    ] = 10,
    algorithm: Annotated[
        str, typer.Option(help="Search algorithm: hyperband, random, bayesian or grid.")
    ] = "hyperband",
    trials: Annotated[
        int | None,
        typer.Option(
            help="Number of trials; not for hyperband.", show_default="20, or the whole grid"
        ),
    ] = None,
    factor: Annotated[int, typer.Option(help="Hyperband: one in FACTOR trials is promoted.")] = 3,
    iterations: Annotated[
        int, typer.Option(help="Hyperband: number of times that all brackets are run.")
    ] = 1,
    objective: Annotated[
        str,
        typer.Option(
            help="Objective: val_loss, val_accuracy, val_macro_f1, val_roc_auc, "
            "val_average_precision, val_balanced_accuracy, val_shifted_loss or "
            "val_shifted_roc_auc."
        ),
    ] = "val_shifted_loss",
    select: Annotated[
        str,
        typer.Option(
            help="Rule for the best trial: min (the best score), or 1se (the simplest trial within "
            "one standard error of the best score)."
        ),
    ] = "min",
    space: Annotated[
        Path | None, typer.Option(help="TOML file that changes the search space.")
    ] = None,
    image_size: Annotated[
        str | None,
        typer.Option(
            help="Height and width in pixels, 32 or more; several as 112,224.",
            show_default="as in the search space",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images per training step.")] = 32,
    views: Annotated[
        int, typer.Option(help="Number of augmented views of each training image.")
    ] = 5,
    cache_gb: Annotated[
        float, typer.Option(help="Largest size of the frozen features on disk, in GB.")
    ] = 20.0,
    precision: Annotated[
        str, typer.Option(help="Compute precision: auto, float32, bfloat16 or float16.")
    ] = "auto",
    weights: Annotated[
        str,
        typer.Option(help="VGG16 weights: bundled, keras, none (random), or a .weights.h5 file."),
    ] = "bundled",
    split: Annotated[str, typer.Option(help="Percentages of train/validation/test.")] = "70/15/15",
    groups: Annotated[
        bool, typer.Option("--groups/--no-groups", help="Keep near-duplicates in one subset.")
    ] = True,
    split_by: Annotated[
        str | None,
        typer.Option(
            help="Also keep other groups in one subset: prefix (of file names), or a CSV file with "
            "the columns file and group."
        ),
    ] = None,
    keep_conflicts: Annotated[
        bool,
        typer.Option(
            "--keep-conflicts", help="Do not exclude near-duplicates with different labels."
        ),
    ] = False,
    max_megapixels: Annotated[float, typer.Option(help="Largest image that is read.")] = 300.0,
    test: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Folder or zip file that is the test split; the other images are then split into "
            "train and validation, in the proportion of their percentages.",
        ),
    ] = None,
    external_test: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="External test set for the retrained model; repeatable."),
    ] = None,
    validate_on: Annotated[
        Path | None, typer.Option(help="Folder used as validation set instead of the split.")
    ] = None,
    positive_class: Annotated[
        str | None,
        typer.Option(
            help="Class that recall, thresholds and ROC curves are about.",
            show_default="by name, e.g. Positive or Cracked; else the last of two",
        ),
    ] = None,
    search_images: Annotated[
        int | None,
        typer.Option(help="Size of the subsample for the search.", show_default="all"),
    ] = None,
    folds: Annotated[
        int,
        typer.Option(
            help="Folds of the cross-validation that scores each trial; 0: a single validation "
            "split."
        ),
    ] = 0,
    repeats: Annotated[
        int, typer.Option(help="Number of random seeds each trial is trained with.")
    ] = 1,
    class_weight: Annotated[
        str | None,
        typer.Option(
            help="Weights of the classes in the training loss: balanced (all classes count "
            "equally) or none.",
            show_default="balanced if the largest class has over 1.5 times the images of the "
            "smallest",
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write runs/NAME/tensorboard/.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed of split, search and training.")] = 1,
    time_budget: Annotated[
        str | None,
        typer.Option(help="Stop after this time and keep the best trial so far, e.g. 2h or 1h30m."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Number of processes that run trials at the same time (extra cluster).",
            show_default="1; with --cluster as many as there is room for",
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run trials on the Ray cluster at this address, e.g. auto or 10.0.0.1:6379.",
        ),
    ] = None,
    cpus_per_trial: Annotated[
        float | None,
        typer.Option(
            help="CPUs, and so threads, of each worker.",
            show_default="those of this machine shared out; 1 with --cluster",
        ),
    ] = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(
            help="GPUs of each worker, also fractions.", show_default="all GPUs shared out"
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print trials, disk space and estimated time, then exit."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the study given by --name.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the study given by --name.")
    ] = False,
) -> None:
    """Search head size, dropout, unfreeze depth and learning rates.

    Example: study search --data photographs --max-epochs 10 --name first
    """
    from concrete_study.cli.parsing import parse_budget, parse_sizes
    from concrete_study.cli.quiet import import_tensorflow
    from concrete_study.datasets.errors import UsageError
    from concrete_study.results.folder import StudyFolder
    from concrete_study.results.runs import RUNS, check_name, claim_study, require_free

    if resume and overwrite:
        raise UsageError("--resume and --overwrite cannot be combined.")
    if resume and name is None:
        raise UsageError("--resume needs --name.", hint="study list prints the names.")
    budget = None if time_budget is None else parse_budget(time_budget)
    claimed = context.with_resource(claim_study(RUNS, algorithm)) if name is None else None
    study = claimed or StudyFolder(RUNS / check_name(name or ""))
    require_free(study, resume=resume, overwrite=overwrite)
    import_tensorflow()

    from concrete_study.search.workers import WorkerOptions

    distributed = WorkerOptions(workers, cluster, cpus_per_trial, gpus_per_trial)
    distributed.check()

    from concrete_study.datasets.labels import parse_class_map
    from concrete_study.datasets.loading import find_data
    from concrete_study.models.backbone import NAMED_WEIGHTS
    from concrete_study.results.records import SearchOptions
    from concrete_study.search.space import read_space, with_image_sizes

    given = {
        key: value
        for key, value in context.params.items()
        if key in SearchOptions.__struct_fields__
    }
    given["space"] = read_space(space)
    if image_size is not None:
        given["space"] = with_image_sizes(given["space"], parse_sizes(image_size))
    if weights not in NAMED_WEIGHTS:
        given["weights"] = str(Path(weights).resolve())
    if split_by and split_by != "prefix":
        given["split_by"] = str(Path(split_by).resolve())
    given["class_map"] = parse_class_map(class_map or ())
    given["labels"] = str(labels.resolve()) if labels else None
    given["data"] = tuple(str(path) for path in find_data(data or ()))
    given["test"] = str(test.resolve()) if test else None
    given["external_test"] = tuple(str(path.resolve()) for path in external_test or ())
    given["validate_on"] = str(validate_on.resolve()) if validate_on else None
    if resume and data:
        store_new_folders(study, data)
        del given["data"]  # the folders of other sets may follow
    options = _resumed(context, study, given) if resume else SearchOptions(**given)
    if dry_run:
        from concrete_study.cli.display import Display
        from concrete_study.search.runner import plan_search

        with Display() as display:
            plan_search(
                options, study, display, resume=resume, overwrite=overwrite, time_budget=budget
            )
        return
    run_study(
        options,
        study,
        resume=resume,
        overwrite=overwrite,
        time_budget=budget,
        tensorboard=tensorboard,
        workers=distributed,
    )


def _resumed(
    context: typer.Context, study: "StudyFolder", given: dict[str, Any]
) -> "SearchOptions":
    """The stored options; options on the command line must be equal to them."""
    from concrete_study.datasets.errors import StudyStateError

    stored = study.manifest().options
    changed = []
    for key, value in given.items():
        if key == "space":
            changed += [
                f"--space, {name}: was {stored.space.get(name)}, now {dimension}"
                for name, dimension in value.items()
                if typed(context, "image_size" if name == "image_size" else "space")
                and dimension != stored.space.get(name)
            ]
        elif not typed(context, key):
            continue
        elif getattr(stored, key) != value:
            option = "--map" if key == "class_map" else f"--{key.replace('_', '-')}"
            changed.append(f"{option}: was {getattr(stored, key)}, now {value}")
    if changed:
        raise StudyStateError(
            f"study {study.name} was started with other options.",
            "\n".join(changed),
            f"study search --name {study.name} --resume without them, or another --name.",
        )
    return stored
