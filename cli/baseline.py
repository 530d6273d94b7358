"""`study baseline`: one fixed recipe on a study's images, to tell what the search was worth."""

from typing import TYPE_CHECKING, Annotated

import typer

from concrete_study.cli.arguments import complete_studies

if TYPE_CHECKING:
    from concrete_study.results.records import SearchOptions

EPOCHS = 10  # 5 + 5, as the seed trained


def baseline_command(
    like: Annotated[
        str | None,
        typer.Argument(
            help="The study whose images it takes.",
            show_default="the latest",
            autocompletion=complete_studies,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The new study's name.", show_default="LIKE-baseline")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="none starts from random weights.", show_default="those of the study"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study --name.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the study --name.")
    ] = False,
) -> None:
    """Train the fixed recipe that searches are to beat.

    It is a study of one trial.

    No dense layer, dropout 0.3, five epochs of Adam at 5e-5, then block 5 unfrozen for five of
    RMSprop at 1e-5; images, split, views and seed are those of the other study.

    Example: study baseline first, then: study best first-baseline
    """
    from concrete_study.cli.quiet import import_tensorflow
    from concrete_study.cli.session import run_study
    from concrete_study.results.folder import StudyFolder
    from concrete_study.results.runs import RUNS, check_name, open_study, require_free

    model = open_study(RUNS, like)
    scratch = "-scratch" if weights == "none" else ""
    study = StudyFolder(RUNS / check_name(name or f"{model.name}-baseline{scratch}"))
    require_free(study, resume=resume, overwrite=overwrite)
    import_tensorflow()
    options = _baseline(model.manifest().options, weights)
    run_study(options, study, resume=resume, overwrite=overwrite, like=model)


def _baseline(options: "SearchOptions", weights: str | None) -> "SearchOptions":
    from msgspec.structs import replace

    from concrete_study.results.hyperparameters import reference_space

    return replace(
        options,
        algorithm="grid",  # of one point
        trials=None,
        max_epochs=EPOCHS,
        space=reference_space(),
        weights=weights or options.weights,
    )
