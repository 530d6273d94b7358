"""`study baseline`: the reference recipe on the images of a study."""

from typing import TYPE_CHECKING, Annotated

import typer

from concrete_study.cli.arguments import complete_studies

if TYPE_CHECKING:
    from concrete_study.results.records import SearchOptions

EPOCHS = 10  # 5 + 5, as in the reference recipe


def baseline_command(
    study: Annotated[
        str | None,
        typer.Argument(
            help="Study whose images and split are used.",
            show_default="the latest study",
            autocompletion=complete_studies,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the new study.", show_default="STUDY-baseline")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Initial VGG16 weights: bundled, keras, none (random), or a .weights.h5 file.",
            show_default="those of the study",
        ),
    ] = None,
    image_size: Annotated[int, typer.Option(help="Height and width in pixels, 32 or more.")] = 224,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the study given by --name.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the study given by --name.")
    ] = False,
) -> None:
    """Train the reference recipe on the images of a study.

    The result, a baseline for the search, is a study of one trial: no dense layer, dropout
    0.3, five epochs with the base model frozen (Adam, 5e-5), then five with block 5 unfrozen
    (RMSprop, 1e-5), at 224 pixels. Images, split, augmented views and seed are those of the
    other study.

    Example: study baseline first, then: study best first-baseline
    """
    from concrete_study.cli.session import run_job
    from concrete_study.models.quiet import import_tensorflow
    from concrete_study.results.folder import StudyFolder
    from concrete_study.results.runs import RUNS, check_name, open_study, require_free
    from concrete_study.study.searching import SearchJob

    other = open_study(RUNS, study)
    scratch = "-scratch" if weights == "none" else ""
    target = StudyFolder(RUNS / check_name(name or f"{other.name}-baseline{scratch}"))
    require_free(target, resume=resume, overwrite=overwrite)
    import_tensorflow()
    options = _baseline(other.manifest().options, weights, image_size)
    run_job(SearchJob(options, target, resume=resume, overwrite=overwrite, like=other))


def _baseline(options: "SearchOptions", weights: str | None, image_size: int) -> "SearchOptions":
    from msgspec.structs import replace

    from concrete_study.results.hyperparameters import reference_space
    from concrete_study.search.space import with_image_sizes

    return replace(
        options,
        algorithm="grid",  # of one point
        trials=None,
        max_epochs=EPOCHS,
        space=with_image_sizes(reference_space(), [image_size]),
        weights=weights or options.weights,
    )
