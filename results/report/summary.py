"""The answer in one paragraph: what was found, how good it is, what to beware of."""

from concrete_study.results.evaluation import clustered_accuracy
from concrete_study.results.formats import counted, describe, duration
from concrete_study.results.report.data import Facts
from concrete_study.results.report.elements import Paragraph, Section
from concrete_study.results.report.result_sections import others_table
from concrete_study.results.tables import is_sample
from concrete_study.results.trials import promotion_path, rank


def answer(facts: Facts) -> Section:
    """The first section of a report, for a study in any state."""
    sentences = [_found(facts), _tested(facts)]
    cautions = _cautions(facts)
    blocks = [Paragraph(" ".join(filter(None, sentences)))]
    if cautions:
        blocks.append(Paragraph("Read it with care: " + " ".join(cautions)))
    return Section("answer", "The answer", blocks)


def _found(facts: Facts) -> str:
    if not facts.records:
        return f"Study {facts.name} has no finished trial yet, so there is no answer."
    ranked = rank(facts.records, objective=facts.objective)
    if not ranked:
        message = next((r.message for r in reversed(facts.records) if r.message), "")
        last = f" The last failure: {message}" if message else ""
        return (
            f"None of the {counted(len(facts.records), 'trial')} of study {facts.name} has a "
            f"score, so there is no answer.{last}"
        )
    best = ranked[0]
    known = {record.trial: record for record in facts.records}
    tried = {promotion_path(record, known)[0] for record in facts.records}
    top = [record for record in ranked if record.epochs == best.epochs]
    seconds = facts.manifest.get("seconds")
    time = f" in {duration(seconds)}" if seconds else ""
    second = (
        f"; the second of {len(top)} on that rung has {top[1].score:.4f}"
        if len(top) > 1
        else ", alone on that rung"
    )
    trials = counted(len(facts.records), "trial")
    return (
        f"The best of {counted(len(tried), 'configuration')} ({trials}{time}) is trial "
        f"{best.trial}: {describe(best.hyperparameters)}. It reached {facts.objective} "
        f"{best.score:.4f} on the validation images with {counted(best.epochs, 'epoch')}{second}."
    )


def _tested(facts: Facts) -> str:
    if facts.metrics is None:
        if facts.state == "finished" and rank(facts.records, objective=facts.objective):
            return (
                "The test images have not been opened: `study best "
                f"{facts.name}` retrains this trial and tests it, once."
            )
        return ""
    test = facts.metrics["test"]
    low, high = test["accuracy_interval"]
    missed = [
        f"{sum(row) - row[number]} of {sum(row)} {name}"
        for number, (name, row) in enumerate(
            zip(test["classes"], test["confusion_matrix"], strict=True)
        )
    ]
    return (
        f"Trial {facts.metrics['trial']}, retrained, is right on {100 * test['accuracy']:.2f} % of "
        f"{counted(test['images'], 'test image')} (95 % interval {100 * low:.2f} to "
        f"{100 * high:.2f} %) at a loss of {test['loss']:.4f}; wrong on {', '.join(missed)}."
    )


def _cautions(facts: Facts) -> list[str]:
    manifest = facts.manifest
    cautions = []
    if facts.state != "finished":
        planned = manifest.get("planned_trials")
        of = f" of {planned}" if planned else ""
        cautions.append(f"The search is {facts.state}, with {len(facts.records)}{of} trials.")
    elif stopped := manifest.get("stopped"):
        planned = manifest.get("planned_trials")
        cautions.append(f"The {stopped} ended it after {len(facts.records)} of {planned} trials.")
    if manifest["options"].get("search_images"):
        part = sum((manifest.get("searched") or {}).values())
        cautions.append(f"The search saw {part} of the images.")
    failed = sum(record.status == "failed" for record in facts.records)
    if failed and failed < len(facts.records):
        cautions.append(f"{counted(failed, 'trial')} failed.")
    if is_sample(manifest):
        cautions.append(
            "The photographs are the built-in sample, drawn by a program: they say nothing of real "
            "concrete."
        )
    if facts.rows and manifest.get("groups") is None:
        cautions.append("Copies of a picture may have been both trained on and tested on.")
    if facts.predictions is not None:
        cautions.append(clustered_accuracy(facts.predictions, facts.classes, facts.rows))
    if facts.metrics is not None:
        others = others_table(facts.metrics, facts.evaluations)
        cautions += [
            f"On {other['images']} photographs of {other['photographs']} ({other['which']}) it is "
            f"right on {100 * other['accuracy']:.2f} %."
            for other in others.to_dict("records")
            if other["which"] != "test"
        ]
    opened = len((facts.metrics or {}).get("test_opened", []))
    if opened > 1:
        cautions.append(
            f"The test images were opened {opened} times, so they are no longer unseen."
        )
    return [caution for caution in cautions if caution]
