"""The first section of a report: the best trial, its test results, and their limits."""

from concrete_study.results.evaluation import clustered_accuracy
from concrete_study.results.evaluation_records import RetrainingRecord
from concrete_study.results.formats import counted, duration, number, plus_minus
from concrete_study.results.headlines import balance_text
from concrete_study.results.hyperparameters import describe
from concrete_study.results.report.data import ReportData
from concrete_study.results.report.elements import Element, Section
from concrete_study.results.report.scores import MANY_CLASSES, WORST_CLASSES, by_dataset_table
from concrete_study.results.trials import promotion_path, remedy_of


def summary_section(data: ReportData) -> Section:
    """The summary of a study in any state."""
    elements: list[Element] = [" ".join(filter(None, (_search_result(data), _test_result(data))))]
    if limits := [*_search_limits(data), *_test_limits(data)]:
        elements.append("Limits: " + " ".join(limits))
    return Section("summary", "Summary", elements)


def _search_result(data: ReportData) -> str:
    trials = counted(len(data.trials), "trial")
    if not data.trials:
        return f"Study {data.name} has no finished trial yet."
    if (best := data.best) is None:
        messages = [record.message for record in data.trials if record.message]
        last = f" The last failure: {messages[-1]}" if messages else ""
        remedy = remedy_of(messages)
        return (
            f"None of the {trials} of study {data.name} has a score.{last} "
            f"{remedy[0].upper()}{remedy[1:]}"
        )
    known = {record.trial: record for record in data.trials}
    configurations = {promotion_path(record, known)[0] for record in data.trials}
    top = [record for record in data.ranked if record.epochs == best.epochs]
    others = (
        f"The second-best of {len(top)} trials with this budget has "
        f"{plus_minus(top[1].score or 0, top[1].standard_error)}."
        if len(top) > 1
        else "No other trial has this budget."
    )
    if best is not top[0]:
        others = (
            f"It is the simplest within one standard error of trial {top[0].trial}, whose score is "
            f"{plus_minus(top[0].score or 0, top[0].standard_error)}."
        )
    folds = data.study.options.folds
    errors = f" Scores are means over {folds} folds ± their standard error." if folds else ""
    return (
        f"The search ran {trials} of {counted(len(configurations), 'configuration')} in "
        f"{duration(data.study.seconds)}. The best is trial {best.trial} "
        f"({describe(best.hyperparameters)}), with a {data.objective.label} of "
        f"{plus_minus(best.score or 0, best.standard_error)} at a budget of "
        f"{counted(best.epochs, 'epoch')}. {others}{errors}"
    )


def _test_result(data: ReportData) -> str:
    if data.retraining is not None:
        return _retrained(data.retraining)
    if data.state == "finished" and data.ranked:
        return (
            f"The test split has not been evaluated yet: `study best {data.name}` retrains the "
            "best trial and evaluates it once."
        )
    return ""


def _retrained(retraining: RetrainingRecord) -> str:
    test, loss = retraining.test, retraining.test.scores.loss.value
    low, high = test.accuracy_interval
    rows = zip(test.classes, test.confusion_matrix, strict=True)
    errors = [f"{sum(row) - row[n]} of {sum(row)} {name}" for n, (name, row) in enumerate(rows)]
    if len(errors) >= MANY_CLASSES:
        wrong = sorted(errors, key=lambda text: -int(text.split(" ", 1)[0]))[:WORST_CLASSES]
        errors = [*wrong, f"and {len(errors) - len(wrong)} more classes"]
    return (
        f"The retrained model (trial {retraining.trial}) classifies {100 * test.accuracy:.2f} % of "
        f"{counted(test.images, 'test image')} correctly (95 % interval {100 * low:.2f} to "
        f"{100 * high:.2f} %), with a loss of {number(loss)}; {balance_text(test)}. "
        f"Misclassified: {', '.join(errors)}."
    )


def _search_limits(data: ReportData) -> list[str]:
    study, limits = data.study, []
    if study.is_sample:
        limits.append(
            "These results are on the built-in synthetic sample and say nothing about real "
            "concrete."
        )
    done = f"{len(data.trials)} of {study.planned_trials} trials"
    if data.state != "finished":
        limits.append(f"The search is {data.state} ({done}).")
    elif study.stopped:
        limits.append(f"The {study.stopped} stopped the search after {done}.")
    if study.options.search_images:
        limits.append(f"The search used a subsample of {sum(study.searched.values())} images.")
    failed = sum(record.status == "failed" for record in data.trials)
    if failed and failed < len(data.trials):
        limits.append(f"{counted(failed, 'trial')} failed.")
    return limits


def _test_limits(data: ReportData) -> list[str]:
    limits = []
    if data.split and data.study.groups is None:
        limits.append("Near-duplicates of test images may be in the training split (data leakage).")
    if data.predictions is not None:
        limits.append(clustered_accuracy(data.predictions, data.study.classes, data.split))
    if data.retraining is None:
        return limits
    limits += [
        f"On the external test set {row['dataset']} ({row['images']} images) accuracy is "
        f"{100 * row['accuracy']:.2f} %."
        for row in by_dataset_table(data.retraining, data.evaluations).to_dict("records")
        if row["subset"] != "test"
    ]
    if (opened := len(data.retraining.test_opened)) > 1:
        limits.append(f"The test split was evaluated {opened} times, so it is no longer unseen.")
    return [limit for limit in limits if limit]
