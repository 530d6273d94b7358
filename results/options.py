"""The options of a search, declared here alone: names, types, defaults and descriptions.

The command line's options, the keywords of the Python API, `study.toml` and the JSON Schema of
`study.json` derive from them. Light: the help of the command line imports it.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from concrete_study.datasets.limits import MAX_MEGAPIXELS
from concrete_study.results.hyperparameters import Space, default_space
from concrete_study.results.objectives import DEFAULT_OBJECTIVE, OBJECTIVES

ClassWeight = Literal["balanced", "none"]


def _one_of(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _about(description: str, default: str = "") -> Meta:
    """Describes an option, and what its default means where the value does not say it."""
    return Meta(description=description, extra={"default": default})


class SearchOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a search; `search.options.check` checks their values.

    Paths are absolute. Of `data`, none is the built-in sample.
    """

    data: Annotated[
        tuple[str, ...],
        _about(
            "Folder with one sub-folder per class, or a zip file; the images of several form one "
            "dataset. On resuming: the new folder if the images have moved.",
            "datasets/, or the built-in sample",
        ),
    ] = ()
    test: Annotated[
        str | None,
        _about(
            "Folder or zip file that is the test split; the other images are then split into "
            "train and validation, in the proportion of their percentages."
        ),
    ] = None
    external_test: Annotated[
        tuple[str, ...], _about("External test set for the retrained model.")
    ] = ()
    validate_on: Annotated[
        str | None,
        _about(
            "Folder used as validation set instead of the split; objective val_roc_auc if it is "
            "of another site."
        ),
    ] = None
    algorithm: Annotated[str, _about("Search algorithm: hyperband, random, bayesian or grid.")] = (
        "hyperband"
    )
    max_epochs: Annotated[int, _about("Epochs of the highest rung (epoch budget).")] = 10
    factor: Annotated[int, _about("Hyperband: one in FACTOR trials is promoted.")] = 3
    iterations: Annotated[int, _about("Hyperband: number of times that all brackets are run.")] = 1
    trials: Annotated[
        int | None, _about("Number of trials; not for hyperband.", "20, or the whole grid")
    ] = None
    objective: Annotated[str, _about(f"Objective: {_one_of(list(OBJECTIVES))}.")] = (
        DEFAULT_OBJECTIVE
    )
    select: Annotated[
        str,
        _about(
            "Rule for the best trial: min (the best score), or 1se (the simplest trial within one "
            "standard error of the best score)."
        ),
    ] = "min"
    batch_size: Annotated[int, _about("Images per training step.")] = 32
    views: Annotated[int, _about("Number of augmented views of each training image.")] = 5
    cache_gb: Annotated[float, _about("Largest size of the frozen features on disk, in GB.")] = 20.0
    precision: Annotated[str, _about("Compute precision: auto, float32, bfloat16 or float16.")] = (
        "auto"
    )
    weights: Annotated[
        str, _about("VGG16 weights: bundled, keras, none (random), or a .weights.h5 file.")
    ] = "bundled"
    split: Annotated[str, _about("Percentages of train/validation/test.")] = "70/15/15"
    groups: Annotated[bool, _about("Keep near-duplicates in one subset.")] = True
    split_by: Annotated[
        str | None,
        _about(
            "Also keep other groups in one subset: prefix (of file names), or a CSV file with the "
            "columns file and group."
        ),
    ] = None
    class_map: Annotated[
        dict[str, str],
        _about("Class of a folder, or of a class in the list of labels, that has another name."),
    ] = {}
    labels: Annotated[
        str | None,
        _about("CSV file with the columns file and class, instead of class folders."),
    ] = None
    max_megapixels: Annotated[float, _about("Largest image that is read.")] = MAX_MEGAPIXELS
    keep_conflicts: Annotated[
        bool, _about("Do not exclude near-duplicates with different labels.")
    ] = False
    folds: Annotated[
        int,
        _about(
            "Folds of the cross-validation that scores each trial; 0: a single validation split."
        ),
    ] = 0  # decision 022
    repeats: Annotated[int, _about("Number of random seeds each trial is trained with.")] = 1
    class_weight: Annotated[
        ClassWeight | None,
        _about(
            "Weights of the classes in the training loss: balanced (all classes count equally) or "
            "none.",
            "balanced if the largest class has over 1.5 times the images of the smallest",
        ),
    ] = None
    search_images: Annotated[
        int | None,
        _about("Size of the subsample of train and validation for the search.", "all"),
    ] = None
    seed: Annotated[int, _about("Random seed of split, search and training.")] = 1
    positive_class: Annotated[
        str | None,
        _about(
            "Class that recall, thresholds and ROC curves are about.",
            "by name, e.g. Positive or Cracked; else the last of two",
        ),
    ] = None
    space: Annotated[
        Space, _about("Changes of the search space: a TOML file.", "the default space")
    ] = msgspec.field(default_factory=default_space)


class SearchConfig(SearchOptions, frozen=True, kw_only=True):
    """The content of a `study.toml`: the options of a search, and those of one call."""

    name: Annotated[str | None, _about("Name of the study.", "ALGORITHM-NUMBER")] = None
    image_size: Annotated[
        tuple[int, ...] | None,
        _about(
            "Height and width in pixels, 32 or more; several as 112,224.", "as in the search space"
        ),
    ] = None
    time_budget: Annotated[
        float | None,
        _about("Stop after this time and keep the best trial so far, e.g. 2h or 1h30m."),
    ] = None
    tensorboard: Annotated[bool, _about("Also write runs/NAME/tensorboard/.")] = False
    workers: Annotated[
        int | None,
        _about(
            "Number of processes that run trials at the same time (extra `cluster`).",
            "1, or as many as the cluster has room for",
        ),
    ] = None
    cluster: Annotated[
        str | None,
        _about("Run trials on the Ray cluster at this address, e.g. auto or 10.0.0.1:6379."),
    ] = None
    cpus_per_trial: Annotated[
        float | None,
        _about(
            "CPUs of each worker; as many threads, at least 2.",
            "those of this machine shared out, or 1 on a cluster",
        ),
    ] = None
    gpus_per_trial: Annotated[
        float | None, _about("GPUs of each worker, also fractions.", "all GPUs shared out")
    ] = None
