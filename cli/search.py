"""`study search`: search the hyperparameter space."""

from collections.abc import Iterator
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
import typer

from concrete_study.cli.arguments import typed
from concrete_study.results.options import SearchConfig

# What an option has other than its name, type and default.
_FLAGS = {"groups": "--groups/--no-groups", "class_map": "--map"}
_METAVARS = {"class_map": "FOLDER=CLASS", "space": "FILE", "labels": "FILE"}
_METAVARS |= dict.fromkeys(("data", "test", "external_test", "validate_on"), "PATH")
_TEXTS = ("time_budget",)  # such as 1h30m
_SEVERAL = {"class_map": " Repeatable, or separated by commas."}


def search_command(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="TOML file with any of these options, as study config prints it; options on the "
            "command line override it.",
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
    **options: Any,
) -> None:
    """Search head size, dropout, unfreeze depth and learning rates.

    Example: study search --data photographs --max-epochs 10 --name first
    """
    from concrete_study.cli.errors import option_name
    from concrete_study.cli.session import run_job
    from concrete_study.results.runs import RUNS
    from concrete_study.search.config import given_options, read_config
    from concrete_study.study.display import Display
    from concrete_study.study.searching import open_search

    given = given_options({name: v for name, v in options.items() if typed(context, name)})
    if config is not None:
        given = given.over(read_config(config))
    with open_search(given, RUNS, resume=resume, overwrite=overwrite) as job:
        if not dry_run:
            run_job(job)
            return
        with Display(option_name) as display:
            job.plan(display)


def _parameters() -> Iterator[Parameter]:
    """Every option of `SearchConfig` as Typer reads it."""
    types = get_type_hints(SearchConfig)
    for field in msgspec.structs.fields(SearchConfig):
        (meta,) = (m for m in get_args(field.type) if isinstance(m, msgspec.Meta))
        kind, default = types[field.name], field.default
        if kind != float | None or field.name in _TEXTS:
            kind, default = _typed_text(kind, default)
        name = _FLAGS.get(field.name, f"--{field.name.replace('_', '-')}")
        several = " Repeatable." if kind == list[str] | None else ""
        option = typer.Option(
            name,
            metavar=_METAVARS.get(field.name),
            help=f"{meta.description}{_SEVERAL.get(field.name, several)}",
            show_default=(meta.extra or {})["default"] or True,
        )
        yield Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[kind, option],
        )


def _typed_text(kind: Any, default: Any) -> tuple[Any, Any]:
    """Type and default of an option on the command line: a number, a flag, else text."""
    if kind in (bool, int, float, str, int | None):
        return kind, default
    if kind in (dict[str, str], tuple[str, ...]):
        return list[str] | None, None
    return str | None, None


def _with_options(signature: Signature) -> Signature:
    context, *own, _ = signature.parameters.values()
    own = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in own]
    return signature.replace(parameters=[context, own[0], *_parameters(), *own[1:]])


search_command.__signature__ = _with_options(Signature.from_callable(search_command))  # type: ignore[attr-defined]
