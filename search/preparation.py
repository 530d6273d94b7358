"""The network and frozen features that all trials of a search share, and the cost estimate."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from concrete_study.datasets.batches import View
from concrete_study.datasets.folds import make_folds
from concrete_study.datasets.loading import StudyData
from concrete_study.datasets.progress import Progress
from concrete_study.datasets.shifts import SHIFTS
from concrete_study.datasets.summary import describe_classes
from concrete_study.models.backbone import BackboneWeights, load_weights
from concrete_study.models.batch_sources import FeatureSource, JoinedSource, PartSource
from concrete_study.models.devices import prepare_devices, require_memory
from concrete_study.models.feature_plan import plan_features
from concrete_study.models.features import BATCH_SIZE, FeatureStore
from concrete_study.models.network import feature_layers_of
from concrete_study.models.precision import choose_precision
from concrete_study.models.trainable import Network
from concrete_study.results.folder import StudyFolder
from concrete_study.results.metrics import ensure_defined
from concrete_study.results.positive_class import describe_positive_class
from concrete_study.results.records import SearchOptions, StudyRecord, TrialRecord
from concrete_study.search.cost import SearchPlan, Workforce, count_architectures, describe_plan
from concrete_study.search.cross_validation import FoldSources
from concrete_study.search.images import load_data, resume_data
from concrete_study.search.options import choose_class_weight
from concrete_study.search.progress import SearchProgress
from concrete_study.search.retraining_cost import (
    describe_retraining,
    missing_images,
    retraining_of,
    suggest,
)
from concrete_study.search.simulation import simulate_schedule
from concrete_study.search.space import architectures, image_sizes
from concrete_study.search.throughput import measure_step_times

FeatureSources: TypeAlias = dict[int, list[FoldSources]]
"""Features of each fold's images, by image size; a single split is one fold."""


class Preparation:
    """The network in its precision, and stores for the features that fit.

    Args:
        options: Of the search.
        data: All images of the study; `search_images` is a subsample of them.
        weights: Of the backbone.
        devices: From `prepare_devices`, which comes before anything is computed.
        earlier: Of the earlier run, whose precision, folds and class weights are kept.
        records: Trials of an earlier run.
        began: `time.monotonic()` before the images were read.
    """

    def __init__(
        self,
        options: SearchOptions,
        data: StudyData,
        weights: BackboneWeights,
        *,
        devices: str,
        earlier: StudyRecord | None,
        records: Sequence[TrialRecord],
        began: float,
    ) -> None:
        self.options, self.data, self.weights, self.records = options, data, weights, records
        self.devices, self.began = devices, began
        self.is_resumed = earlier is not None
        chosen = choose_precision(earlier.precision if earlier else options.precision)
        self.precision = chosen._replace(reason="as before") if earlier else chosen
        self.network = Network(weights, classes=len(data.folder.classes), precision=self.precision)
        part = data.part(options.search_images, seed=options.seed)
        self.images = part.subset("train"), part.subset("validation")
        self.rows = [row for name in ("train", "validation") for row in part.of(name)]
        counts = Counter(row.label for row in part.of("train"))
        self.imbalance = max(counts.values()) / min(counts.values())
        self.class_weight = (
            earlier.class_weight if earlier else choose_class_weight(options, self.imbalance)
        )
        # Row numbers of each fold; here, so that too many folds are refused before any computation.
        self.split = (
            make_folds(self.rows, folds=self.options.folds, seed=options.seed)
            if self.options.folds
            else []
        )
        labels, classes = self.images[1].labels, data.folder.classes
        ensure_defined(options.objective, labels, classes, options.positive_class)
        self.depths = tuple(sorted(int(depth) for depth in options.space["unfreeze_depth"].choices))
        self.sizes = image_sizes(options.space)
        self.features = plan_features(
            sorted({layer for a in architectures(options.space) for layer in feature_layers_of(a)}),
            **self._stored_rows(),
            sizes=self.sizes,
            views=min(options.views, options.max_epochs),
            budget_gb=options.cache_gb,
        )
        self.stores = {
            size: [
                FeatureStore(self.network, subset, self.features.feature_layers, size=size)
                for subset in self.images
            ]
            for size in self.sizes
        }
        augmented, shifted = range(self.features.views), list(SHIFTS)
        # Of a single split training images have no shifts, and validation images no other views.
        self.views: list[list[View]] = (
            [[*augmented, *shifted]] * 2 if self.options.folds else [[*augmented], [0, *shifted]]
        )

    def plan(self, workforce: Workforce) -> SearchPlan:
        """Times a few batches and estimates the cost of the remaining trials.

        Args:
            workforce: Runs the trials.
        """
        elapsed = time.monotonic() - self.began
        forward_passes = {
            size: missing_images(stores, self.views) for size, stores in self.stores.items()
        }
        images = zip(self.images, self.views, strict=True)
        times = measure_step_times(
            self.network,
            self.images[0],
            stored=self.features.feature_layers,
            size=max(self.sizes),
            depths=self.depths,
            units=max(int(units) for units in self.options.space["head_units"].choices),
            batch_size=self.options.batch_size,
        )
        train, validation = self._images_per_epoch()
        return SearchPlan(
            remaining=simulate_schedule(self.options, self.records),
            completed=len(self.records),
            depths=self.depths,
            sizes=self.sizes,
            architectures=count_architectures(self.options),
            images=(len(self.images[0]), len(self.images[1])),
            train=train,
            validation=validation,
            folds=self.options.folds,
            repeats=self.options.repeats,
            class_weight=self.class_weight,
            imbalance=self.imbalance,
            features=self.features,
            forward_passes=forward_passes,
            all_forward_passes=sum(len(subset) * len(views) for subset, views in images)
            if self.features.feature_layers
            else 0,
            times=times,
            retraining=retraining_of(
                self.data, self.options.max_epochs, self.stores, self.features
            ),
            elapsed=elapsed,
            workforce=workforce,
        )

    def compute_features(self, progress: Progress) -> FeatureSources:
        """Computes missing features; returns training and validation features by image size."""
        sources: FeatureSources = {}
        for size, stores in self.stores.items():
            for store, views in zip(stores, self.views, strict=True):
                store.compute_all(views, progress.counting, log=progress.log)
            sources[size] = self._folds_of(stores)
        return sources

    def _folds_of(self, stores: Sequence[FeatureStore]) -> list[FoldSources]:
        split = [FeatureSource(store, self.features.views) for store in stores]
        shifted = [[FeatureSource(s, 1, shift=shift) for s in stores] for shift in SHIFTS]
        if not self.options.folds:
            return [FoldSources(split[0], split[1], tuple(pair[1] for pair in shifted))]
        whole, whole_shifted = JoinedSource(split), list(map(JoinedSource, shifted))
        return [
            FoldSources(
                PartSource(whole, fold.train),
                PartSource(whole, fold.validation),
                tuple(PartSource(source, fold.validation) for source in whole_shifted),
            )
            for fold in self.split
        ]

    def _stored_rows(self) -> dict[str, int]:
        """Images with augmented views, and other rows of each array of features."""
        train, validation = map(len, self.images)
        if self.options.folds:
            return {"train": train + validation, "validation": len(SHIFTS) * (train + validation)}
        return {"train": train, "validation": (1 + len(SHIFTS)) * validation}

    def _images_per_epoch(self) -> tuple[int, int]:
        """Training and validation images of an epoch of a trial, in all folds and repeats.

        Validation images count once for each shift, too.
        """
        train, validation = map(len, self.images)
        if self.options.folds:
            train, validation = (self.options.folds - 1) * (train + validation), train + validation
        each = self.options.repeats * (1 + len(SHIFTS))
        return train * self.options.repeats, validation * each


def prepare(
    options: SearchOptions, study: StudyFolder, progress: Progress, *, resume: bool
) -> Preparation:
    """Reads images and weights and builds the network, on resume in the precision of before.

    Raises:
        StudyError: If the images or the weights cannot be used.
    """
    began, devices = time.monotonic(), prepare_devices()
    require_memory(max(image_sizes(options.space)), options.batch_size, least=BATCH_SIZE)
    load = resume_data if resume else load_data
    data = load(options, study, progress)
    for line in describe_classes(data.rows, data.folder.classes):
        progress.log(line)
    if text := describe_positive_class(data.folder.classes, options.positive_class):
        progress.log(text)
    return Preparation(
        options,
        data,
        load_weights(options.weights, seed=options.seed),
        devices=devices,
        earlier=study.manifest() if resume else None,
        records=study.stored_trials() if resume else [],
        began=began,
    )


def report_plan(
    prepared: Preparation, progress: SearchProgress, budget: float | None, workforce: Workforce
) -> SearchPlan:
    """Reports device, precision and estimated cost of a search."""
    precision = prepared.precision
    progress.log(f"Device: {prepared.devices}. Precision: {precision.name} ({precision.reason}).")
    plan = prepared.plan(workforce)
    for line in [*describe_plan(plan, budget), describe_retraining(plan)]:
        progress.log(line)
    if budget is None:
        suggest(plan, progress, is_resumed=prepared.is_resumed)
    return plan
