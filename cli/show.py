"""`study show`: a study and its leaderboard."""

from typing import TYPE_CHECKING

from concrete_study.cli.arguments import StudyArgument
from concrete_study.cli.output import echo
from concrete_study.cli.tables import Format, FormatOption, print_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concrete_study.results.evaluation_records import RetrainingRecord, TestReport
    from concrete_study.results.folder import StudyFolder
    from concrete_study.results.records import SearchOptions, StudyRecord, TrialRecord

_MOST_CLASSES = 20


def show_command(
    name: StudyArgument = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Show a study and its leaderboard.

    Each configuration is listed once, at the highest rung (epoch budget) it reached. Scores are
    comparable within a rung only. The path lists the trials of a configuration.

    Example: study show first --format markdown
    """
    from concrete_study.results.runs import RUNS, open_study
    from concrete_study.results.trials import hyperparameter_columns, leaderboard

    study = open_study(RUNS, name)
    records = study.trials()
    objective = study.manifest().options.objective
    board = leaderboard(records, objective=objective)
    if format is not Format.TABLE:
        print_frame(board, format, "")
        return
    echo("\n".join(_header(study, records)))
    if board.empty:
        print("\nNo completed trials.")
    else:
        print()
        other = "val_loss" if objective == "val_accuracy" else "val_accuracy"
        board = board.rename(columns={"standard_error": (error := f"{objective}_standard_error")})
        columns = ["rung", "path", *hyperparameter_columns(records), objective, error, other]
        title = f"Leaderboard by {objective}, per rung (epoch budget)"
        print_frame(board, format, title, columns=columns, separated="rung")
    echo(f"\nFolder:  {study.path}\nNext:    {_next_command(study, records)}")
    _warn_of_failures(records)


def _header(study: "StudyFolder", records: "Sequence[TrialRecord]") -> list[str]:
    from concrete_study.results.formats import counted, duration
    from concrete_study.results.headlines import score_lines

    manifest, metrics = study.manifest(), study.metrics()
    options, planned = manifest.options, manifest.planned_trials
    counts = ", ".join(f"{count} {subset}" for subset, count in manifest.images.items())
    data = "built-in sample" if manifest.is_sample else ", ".join(options.data)
    data += f"; test split: {options.test}" if options.test else ""
    failed = sum(record.status == "failed" for record in records)
    searched = sum(manifest.searched.values())
    part = f", on {searched} images" if options.search_images else ""
    folds = f", {options.folds}-fold cross-validation" if options.folds else ""
    lines = {
        "Study": f"{study.name} ({study.state()})",
        "Data": f"{data} ({counts})",
        "Faults": f"{len(manifest.faults)} unreadable, see study.json" if manifest.faults else "",
        "Ignored": "; ".join(f"{reason} ({n})" for reason, n in manifest.ignored.items()),
        "Split": _split(manifest),
        "Classes": _classes(manifest),
        "Search": f"{options.algorithm}, up to {counted(options.max_epochs, 'epoch')}{part}{folds}",
        "Trials": f"{len(records)} of {planned}, {failed} failed"
        + (f"; {manifest.stopped} reached" if manifest.stopped else ""),
        "Best": _simplest(records, options),
        "Time": duration(manifest.seconds),
        "Note": _better_trial(study, records, metrics),
        "Test": _test_result(metrics.test) if metrics else "not evaluated",
    }
    header = [f"{label + ':':<9}{value}" for label, value in lines.items() if value]
    return header + [f"{'':<9}{line}" for line in (score_lines(metrics.test) if metrics else ())]


def _classes(manifest: "StudyRecord") -> str:
    from concrete_study.results.positive_class import find_positive_class

    positive = find_positive_class(manifest.classes, manifest.positive_class)
    names = [f"{n} (positive)" if n == positive else n for n in manifest.classes]
    return ", ".join(names[:_MOST_CLASSES] + [f"... ({len(names)})"] * (len(names) > _MOST_CLASSES))


def _split(manifest: "StudyRecord") -> str:
    if manifest.groups is None:
        return "random (--no-groups); near-duplicates may be in both training and test images"
    return f"grouped by near-duplicates; {manifest.groups} groups"


def _test_result(test: "TestReport") -> str:
    from concrete_study.results.headlines import balance_text

    low, high = test.accuracy_interval
    accuracy = f"accuracy {test.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f})"
    return f"{accuracy}; {balance_text(test)}"


def _better_trial(
    study: "StudyFolder",
    records: "Sequence[TrialRecord]",
    metrics: "RetrainingRecord | None",
) -> str:
    """A note if the test result is not of the best trial; else empty."""
    from concrete_study.results.trials import find_best

    best = find_best(records, study.manifest().options)
    if metrics is None or best is None or best.trial == metrics.trial:
        return ""
    return (
        f"the test result is of trial {metrics.trial}, but trial {best.trial} is the best "
        f"now; study best {study.name} --retrain"
    )


def _simplest(records: "Sequence[TrialRecord]", options: "SearchOptions") -> str:
    """The best trial where it is not the one with the best score; else empty."""
    from concrete_study.results.trials import find_best, rank

    best, ranked = find_best(records, options), rank(records, objective=options.objective)
    if best is None or best is ranked[0]:
        return ""
    return f"trial {best.trial}, the simplest within one standard error of trial {ranked[0].trial}"


def _next_command(study: "StudyFolder", records: "Sequence[TrialRecord]") -> str:
    from concrete_study.results.runs import has_diverged
    from concrete_study.results.trials import OUT_OF_MEMORY

    state = study.state()
    if state == "running":
        return f"study show {study.name}, after more trials"
    if has_diverged(study):
        search = f"study search --name {study.name} --overwrite"
        if OUT_OF_MEMORY in records[-1].message:
            return f"{search}, with a smaller --batch-size or --image-size"
        return f"{search}, with lower learning rates (--space)"
    if state != "finished":
        return f"study search --name {study.name} --resume"
    if not any(record.status == "completed" for record in records):
        return "study search with other options"
    if study.metrics() is None:
        return f"study best {study.name}"
    return f"study report {study.name}, study predict IMAGES --study {study.name}"


def _warn_of_failures(records: "Sequence[TrialRecord]") -> None:
    failed = [record for record in records if record.status == "failed"]
    for record in failed[:3]:
        echo(f"Warning: trial {record.trial} failed: {record.message}", err=True)
    if len(failed) > 3:
        echo(f"Warning: {len(failed) - 3} more failed trials, see trials.csv.", err=True)
