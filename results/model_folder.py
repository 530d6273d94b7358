"""A trained model of a study: the retrained best trial, or one that is adapted to a site."""

from pathlib import Path
from typing import NamedTuple

from concrete_study.datasets.errors import StudyStateError
from concrete_study.results.adaptation_record import AdaptationRecord
from concrete_study.results.folder import StudyFolder
from concrete_study.results.runs import check_name, latest_study, list_studies, open_study
from concrete_study.results.stored import METRICS_FILE, described_folders, read_record

SEPARATOR = ":"  # between a study and a site; no name of a study has one


class ModelFolder(NamedTuple):
    """A model's files; `runs/<name>/best/` or `runs/<name>/adapted/<site>/`."""

    study: StudyFolder
    site: str | None = None

    @property
    def name(self) -> str:
        """As commands take it: NAME or NAME:SITE."""
        return self.study.name if self.site is None else f"{self.study.name}{SEPARATOR}{self.site}"

    @property
    def path(self) -> Path:
        """The folder that has model.keras."""
        return self.study.best_path if self.site is None else adapted_path(self.study, self.site)

    @property
    def evaluations_path(self) -> Path:
        """Evaluations on external test sets, one folder each."""
        return self.study.evaluations_path if self.site is None else self.path / "evaluations"

    @property
    def thresholds_path(self) -> Path:
        """Predictions to choose thresholds by, of images that the model was not fitted to."""
        if self.site is None:
            return self.study.validation_path
        return self.path / "predictions.csv"

    def adaptation(self) -> AdaptationRecord | None:
        """The record of the adaptation; None for the retrained best trial."""
        return None if self.site is None else read_adaptation(self.study, self.site)


def open_model_folder(runs: Path, name: str | None) -> ModelFolder:
    """Finds a study's model by NAME or NAME:SITE; without a name, the latest study's.

    Raises:
        UsageError: If a name is not valid.
        StudyStateError: If there is no such study or adaptation, or its record is damaged.
    """
    if name is None:
        return ModelFolder(latest_study(runs))
    study, found, site = name.partition(SEPARATOR)
    model = ModelFolder(open_study(runs, study), site if found else None)
    model.adaptation()
    return model


def latest_model(runs: Path) -> ModelFolder:
    """The model that was retrained last; without any, that of the latest study.

    Raises:
        UnknownStudyError: If there is no study.
    """
    # Only retraining writes the predictions; an export rewrites metrics.json.
    retrained = [study for study in list_studies(runs) if study.predictions_path.exists()]
    study = max(retrained, key=lambda s: s.predictions_path.stat().st_mtime, default=None)
    return ModelFolder(study or latest_study(runs))


def adapted_path(study: StudyFolder, site: str) -> Path:
    """The folder of a model that is adapted to a site."""
    return study.path / "adapted" / site


def sites(study: StudyFolder) -> list[str]:
    """The sites that a study's model is adapted to."""
    return [path.parent.name for path in described_folders(study.path / "adapted")]


def adaptations(study: StudyFolder) -> list[AdaptationRecord]:
    """The adaptations of a study's present model, by site."""
    opened = study.required_metrics().test_opened
    paths = [adapted_path(study, site) / METRICS_FILE for site in sites(study)]
    records = [read_record(path, AdaptationRecord) for path in paths]
    return [record for record in records if record.test_opened == opened]


def read_adaptation(study: StudyFolder, site: str) -> AdaptationRecord:
    """Reads the record of an adaptation.

    Raises:
        UsageError: If the site's name is not valid.
        StudyStateError: If there is no such adaptation, its record is damaged, or the study was
            retrained since.
    """
    path = adapted_path(study, check_name(site)) / METRICS_FILE
    if not path.parent.is_dir():
        raise StudyStateError(
            f"Study {study.name} has no model adapted to {site}.",
            f"Available sites: {', '.join(sites(study)) or 'none'}.",
            study=study.name,
        )
    record = read_record(path, AdaptationRecord)
    if record.test_opened != study.required_metrics().test_opened:
        raise StudyStateError(
            f"The model of study {study.name} was retrained after it was adapted to {site}.",
            "Expected an adaptation of the present model.",
            "adapt it again.",
            study=study.name,
        )
    return record
