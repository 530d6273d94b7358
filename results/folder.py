"""A study on disk: the folder `runs/<name>/`, its files and its lock."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from msgspec.structs import replace

from concrete_study.datasets.errors import (
    DamagedModelError,
    NotRetrainedError,
    StudyStateError,
    UnfinishedStudyError,
)
from concrete_study.datasets.files import write_text
from concrete_study.datasets.splits import SplitRow, read_split
from concrete_study.results.evaluation_records import (
    EvaluationRecord,
    RetrainingRecord,
    ScratchRecord,
)
from concrete_study.results.formats import csv_text
from concrete_study.results.records import State, StudyRecord, TrialRecord
from concrete_study.results.stored import (
    METRICS_FILE,
    damaged,
    described_folders,
    read_record,
    require_sha256,
    write_record,
)
from concrete_study.results.trials import trial_order, trials_table

# `_is_locked` takes the lock for an instant; waiting half a second outlasts it.
_LOCK_PATIENCE_SECONDS = 0.5


@dataclass(frozen=True)
class StudyFolder:
    """One study's files, by path; creating the object reads and writes nothing.

    Whatever reads a record raises StudyStateError if the file is missing or damaged.
    """

    path: Path  # e.g. runs/first; need not exist yet

    @property
    def name(self) -> str:
        """The study's name, which is its folder's."""
        return self.path.name

    @property
    def manifest_path(self) -> Path:
        """Options, data, environment and state of the study."""
        return self.path / "study.json"

    @property
    def split_path(self) -> Path:
        """Every image with its class, subset, group and SHA-256."""
        return self.path / "split.csv"

    @property
    def tuner_path(self) -> Path:
        """Keras Tuner's own folder."""
        return self.path / "keras_tuner"

    @property
    def trials_path(self) -> Path:
        """One JSON file per trial; `trials.csv` derives from them."""
        return self.path / "trials"

    @property
    def table_path(self) -> Path:
        """The trials as one table, derived from the folder of trials."""
        return self.path / "trials.csv"

    @property
    def best_path(self) -> Path:
        """The retrained best trial: model, metrics, predictions, card and figures."""
        return self.path / "best"

    @property
    def metrics_path(self) -> Path:
        """The metrics of the retrained best trial."""
        return self.best_path / METRICS_FILE

    @property
    def predictions_path(self) -> Path:
        """The probabilities of every test image, from which the metrics follow."""
        return self.best_path / "predictions.csv"

    @property
    def card_path(self) -> Path:
        """The model card, written with the exports."""
        return self.best_path / "model-card.md"

    @property
    def illustrations_path(self) -> Path:
        """Images for the report that need TensorFlow, written with the exports."""
        return self.best_path / "illustrations"

    @property
    def tensorboard_path(self) -> Path:
        """Event files of TensorBoard."""
        return self.path / "tensorboard"

    @property
    def scratch_path(self) -> Path:
        """The learning curve of the same recipe from random weights."""
        return self.best_path / "scratch.json"

    @property
    def evaluations_path(self) -> Path:
        """Evaluations on external test sets, one folder each."""
        return self.path / "evaluations"

    @property
    def audit_path(self) -> Path:
        """What `study audit` finds in the images: record, page and tables."""
        return self.path / "audit"

    @property
    def out_of_fold_path(self) -> Path:
        """With folds: the best trial's prediction of each image that it did not train on."""
        return self.path / "out-of-fold.csv"

    def evaluations(self) -> list[EvaluationRecord]:
        """The evaluations on external test sets, by folder name."""
        paths = described_folders(self.evaluations_path)
        return [read_record(path, EvaluationRecord) for path in paths]

    def manifest(self) -> StudyRecord:
        """The content of study.json."""
        return read_record(self.manifest_path, StudyRecord)

    def write_manifest(self, manifest: StudyRecord) -> None:
        """Replaces study.json."""
        write_record(self.manifest_path, manifest)

    @property
    def validation_path(self) -> Path:
        """The best epoch's probabilities of every validation image, to choose thresholds by."""
        return self.best_path / "validation.csv"

    @property
    def has_split(self) -> bool:
        """Whether there is a split.csv, or was one when the study began."""
        return self.split_path.exists() or bool(self.manifest().split_sha256)

    def split(self) -> list[SplitRow]:
        """The content of split.csv.

        Raises:
            StudyStateError: If it is missing, or not the one that the study began with.
        """
        rows, expected = read_split(self.split_path), self.manifest().split_sha256
        if expected:
            require_sha256(self.split_path, expected)
        return rows

    def trials(self) -> list[TrialRecord]:
        """All recorded trials, sorted by trial id.

        Raises:
            UnfinishedStudyError: If a finished study has lost some of them.
        """
        records = self.stored_trials()
        expected = self.manifest().finished_trials if self.manifest_path.exists() else None
        if expected is not None and len(records) < expected:
            raise UnfinishedStudyError(
                f"trials of study {self.name} are missing.",
                f"Expected {expected} files in {self.trials_path}; found {len(records)}.",
                study=self.name,
            )
        return records

    def stored_trials(self) -> list[TrialRecord]:
        """The recorded trials, of which a search that is resumed runs the missing ones."""
        records = []
        # Not glob, for which a folder without permission is empty.
        for path in self.trials_path.iterdir() if self.trials_path.exists() else ():
            if path.suffix != ".json":
                continue
            records.append(read_record(path, TrialRecord))
            if records[-1].trial != path.stem:
                raise damaged(path, f"trial {records[-1].trial}", f"trial {path.stem}")
        return sorted(records, key=lambda record: trial_order(record.trial))

    def write_trial(self, record: TrialRecord) -> None:
        """Writes a trial's own file; `write_table` updates trials.csv."""
        write_record(self.trials_path / f"{record.trial}.json", record)

    def write_table(self, records: Sequence[TrialRecord]) -> None:
        """Writes trials.csv: all trials of the study, in memory, so that no file is read again."""
        ordered = sorted(records, key=lambda record: trial_order(record.trial))
        write_text(self.table_path, csv_text(trials_table(ordered)))

    def clear(self) -> None:
        """Removes all files of the study except its lock, which the caller holds."""
        others = (path for path in self.path.iterdir() if path != self._lock_path)
        # study.json goes last: if a kill comes between, the rest is still seen as a study.
        for path in sorted(others, key=lambda path: path == self.manifest_path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def remove(self) -> None:
        """Removes the folder; raises StudyStateError if another process uses the study."""
        with self.lock():
            self.clear()
            self._lock_path.unlink()
        self.path.rmdir()

    def is_taken(self) -> bool:
        """Whether the name is not free for another study."""
        return self.manifest_path.exists() or bool(self.leftovers()) or self._is_locked()

    def leftovers(self) -> list[str]:
        """Files in the folder that a search does not write before its study.json."""
        split, manifest = self.split_path.name, self.manifest_path.name
        first = (self._lock_path.name, split, f".{split}.", f".{manifest}.")
        found = self.path.iterdir() if self.path.is_dir() else ()
        return sorted(path.name for path in found if not path.name.startswith(first))

    def rename(self, target: "StudyFolder") -> None:
        """Moves the folder to a free path.

        Raises:
            StudyStateError: If another process uses the study.
        """
        with self.lock():
            if target.path.exists():
                target.remove()
            self.path.rename(target.path)
            target.write_manifest(replace(target.manifest(), name=target.name))

    def metrics(self) -> RetrainingRecord | None:
        """The metrics of the retrained best trial, or None before it is retrained."""
        path = self.metrics_path
        if not path.exists() and (self.best_path / "model.keras").exists():
            expected = "Expected the metrics of the model next to it; found none."
            raise DamagedModelError(f"{path} is missing.", expected, study=self.name)
        return read_record(path, RetrainingRecord) if path.exists() else None

    def required_metrics(self) -> RetrainingRecord:
        """The metrics of the retrained best trial.

        Raises:
            NotRetrainedError: If the best trial is not retrained yet.
        """
        metrics = self.metrics()
        if metrics is None:
            raise NotRetrainedError(
                f"study {self.name} has no retrained model.",
                f"Expected {self.metrics_path}; found none.",
                study=self.name,
            )
        return metrics

    def write_metrics(self, metrics: RetrainingRecord) -> None:
        """Replaces best/metrics.json."""
        write_record(self.metrics_path, metrics)

    def scratch(self) -> ScratchRecord | None:
        """The training from random weights, or None if there is none."""
        path = self.scratch_path
        return read_record(path, ScratchRecord) if path.exists() else None

    def state(self) -> State:
        """The stored state; a search that was killed counts as interrupted."""
        state = self.manifest().state
        return "interrupted" if state == "running" and not self._is_locked() else state

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the study for this process while the block runs.

        Raises:
            StudyStateError: If another process uses the study.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._lock_path)
        try:
            lock.acquire(timeout=_LOCK_PATIENCE_SECONDS)
        except Timeout:
            raise StudyStateError(
                f"Study {self.name} is in use by another process.",
                f"Expected {self._lock_path} to be free; found it locked.",
                "wait for the other process, or choose another name.",
                study=self.name,
            ) from None
        try:
            yield
        finally:
            lock.release()

    @property
    def _lock_path(self) -> Path:
        return self.path / ".lock"

    def _is_locked(self) -> bool:
        if not self._lock_path.exists():
            return False
        try:
            with FileLock(self._lock_path, blocking=False):
                return False
        except (Timeout, OSError):  # OSError: a read-only folder
            return True
