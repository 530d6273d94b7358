"""`study list`: a table of all studies."""

from concrete_study.cli.output import echo
from concrete_study.cli.tables import Format, FormatOption, print_frame

_TERMINAL_COLUMNS = (
    "study",
    "state",
    "created",
    "trials",
    "objective",
    "score",
    "test_accuracy",
    "test_of_best_trial",
)


def list_command(format: FormatOption = Format.TABLE) -> None:
    """List the studies in runs/, oldest first.

    Example: study list --format json
    """
    from concrete_study.datasets.errors import StudyStateError
    from concrete_study.results.runs import RUNS, list_studies, lost_studies
    from concrete_study.results.tables import studies_table

    studies = list_studies(RUNS)
    if studies or format is not Format.TABLE:
        print_frame(studies_table(studies), format, "Studies", columns=_TERMINAL_COLUMNS)
    for study in studies:
        try:
            study.manifest()
            study.trials()
            study.metrics()
        except StudyStateError as error:
            echo(f"Warning: {error.problem} {error.expected}", err=True)
    for study in lost_studies(RUNS):
        echo(f"Warning: {study.manifest_path} is missing. Expected the study's record.", err=True)
    if not studies:
        echo("No studies in runs/. Try: study search", err=True)
