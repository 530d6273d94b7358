"""The functions of the Python API; `concrete_study` has them as its own."""

import inspect
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

from concrete_study.datasets.errors import UsageError
from concrete_study.results import model_folder
from concrete_study.results import runs as stored
from concrete_study.results.comparison import Comparison, comparison_table
from concrete_study.results.model_folder import open_model_folder
from concrete_study.results.options import SearchConfig
from concrete_study.results.tables import differences
from concrete_study.search.config import given_options, read_config
from concrete_study.search.progress import Callback
from concrete_study.study.model import Model, PathLike
from concrete_study.study.reporting import ProgressOption, reporting
from concrete_study.study.searching import open_search
from concrete_study.study.study import Study

if TYPE_CHECKING:
    from pandas import DataFrame


def search(
    *,
    config: PathLike | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: ProgressOption = None,
    callbacks: Sequence[Callback] = (),
    runs: PathLike = stored.RUNS,
    **options: Any,
) -> Study:
    """Searches head size, dropout, unfreeze depth and learning rates.

    An interrupted search keeps its finished trials; `resume=True` continues it.

    Args:
        config: A `study.toml` with options; those that are given here count.
        resume: Continue the study `name` with its stored options.
        overwrite: Replace the study `name`.
        progress: True shows bars or lines on stderr, False nothing, None shows them on a terminal
            or in a notebook; a `SearchProgress` receives them instead.
        callbacks: Functions that are called with every `Epoch` and every `TrialRecord` when it has
            ended, and `SearchProgress` objects. An exception in one ends the search.
        runs: Folder of all studies.
        **options: Every field of `SearchOptions`, and `name`, `image_size` (pixels, one number or
            several), `time_budget` (seconds, or text such as "1h30m"), `tensorboard`, `workers`,
            `cluster`, `cpus_per_trial` and `gpus_per_trial`. `data` is a folder or a list of
            folders; `space` a TOML file or a dictionary of the same form.

    Returns:
        The finished study.

    Raises:
        UsageError: If an option is unknown, or has a wrong type or value.
        DataError: If the images cannot be studied.
        StudyStateError: If the study exists already, is in use, or was started with other options.
        SearchError: If the search ends without a best trial.
        ResourceError: If the machine lacks space or memory.

    Example:
        >>> study = cs.search(
        ...     data="photos",
        ...     name="first",
        ...     algorithm="grid",
        ...     max_epochs=1,
        ...     image_size=32,
        ...     views=1,
        ...     space={
        ...         "head_units": 0,
        ...         "dropout": [0.0, 0.5],
        ...         "unfreeze_depth": 0,
        ...         "head_learning_rate": 1e-3,
        ...         "feature_layers": "block5",
        ...     },
        ... )
        >>> study
        <Study first: finished, 2 trials>
    """
    given = given_options(options)
    if config is not None:
        given = given.over(read_config(Path(config)))
    with (
        reporting(progress, callbacks) as receiver,
        open_search(given, Path(runs), resume=resume, overwrite=overwrite) as job,
    ):
        job.run(receiver)
    return Study(stored.find_study(Path(runs), job.study.name))


def open(name: str | None = None, *, runs: PathLike = stored.RUNS) -> Study:
    """Opens a stored study.

    Args:
        name: Name of the study; None for the latest one.
        runs: Folder of all studies.

    Raises:
        UsageError: If `name` is not a valid name.
        UnknownStudyError: If the study does not exist.
        StudyStateError: If its study.json is damaged.

    Example:
        >>> cs.open("first").state
        'finished'
    """
    return Study(stored.open_study(Path(runs), name))


def open_model(name: str | None = None, *, runs: PathLike = stored.RUNS) -> Model:
    """Opens the retrained model of a study, or one that is adapted to a site.

    Args:
        name: NAME or NAME:SITE; None for the model that was retrained last.
        runs: Folder of all studies.

    Raises:
        UsageError: If `name` is not a valid name.
        NotRetrainedError: If the study has no retrained model.
        StudyStateError: If there is no such study or adaptation, or a record is damaged.

    Example:
        >>> cs.open_model("first").classes
        ['Negative', 'Positive']
    """
    if name is None:
        return Model(model_folder.latest_model(Path(runs)))
    return Model(open_model_folder(Path(runs), name))


def list_studies(*, runs: PathLike = stored.RUNS) -> list[Study]:
    """Every study in a folder, damaged ones too, oldest first.

    Args:
        runs: Folder of all studies.

    Example:
        >>> [study.name for study in cs.list_studies()]
        ['first']
    """
    return [Study(folder) for folder in stored.list_studies(Path(runs))]


def compare(
    *names: str,
    table: str = "comparison",
    only_changed: bool = False,
    runs: PathLike = stored.RUNS,
) -> "DataFrame":
    """Compares hyperparameters and results of several studies.

    Warns, with a `UserWarning` each, of what makes scores not comparable.

    Args:
        *names: Names of the studies; none takes all.
        table: `comparison` (one row per study), `paired` (paired tests on the same test images),
            `ranks`, `cost` (trials and seconds to reach a score) or `options` (that differ).
        only_changed: Leave out columns of `comparison` that are equal in all studies.
        runs: Folder of all studies.

    Raises:
        UsageError: If a name is not valid, or there is no such table.
        StudyStateError: If a study does not exist, or a record is damaged.

    Example:
        >>> cs.compare("first")["study"].tolist()
        ['first']
    """
    if table not in list(Comparison):
        raise UsageError(
            f"{table!r} is unknown.", f"Expected one of {', '.join(Comparison)}.", parameter="table"
        )
    studies = stored.open_studies(Path(runs), names)
    for difference in differences(studies):
        warnings.warn(difference.sentence, stacklevel=2)
    return comparison_table(studies, Comparison(table), only_changed=only_changed)


def _with_options(signature: inspect.Signature) -> inspect.Signature:
    """The signature of `search` with every option, as notebooks show and complete it."""
    named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    types, fields = get_type_hints(SearchConfig), msgspec.structs.fields(SearchConfig)
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if field.default is msgspec.NODEFAULT else field.default,
            annotation=types[field.name],
        )
        for field in fields
    ]
    return signature.replace(parameters=[*options, *named])


search.__signature__ = _with_options(inspect.signature(search))  # type: ignore[attr-defined]
