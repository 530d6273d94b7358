"""What all trials of a search share: the network, the frozen features, and what they will cost."""

import time
from collections.abc import Sequence

from models.base import BaseWeights, load_weights
from models.devices import prepare_devices, require_memory
from models.features import BATCH_SIZE, FeatureStore, plan_features
from models.learner import Network
from models.network import cut_below
from models.precision import choose_precision
from models.rates import time_rates
from models.sources import FeatureSource
from results.folder import StudyFolder
from results.records import TrialRecord
from search.data import StudyData, load_data
from search.options import SearchOptions
from search.plan import SearchPlan, describe_plan, structures_of
from search.progress import Progress
from search.rehearsal import rehearse
from search.space import DEPTH


class Preparation:
    """The network in its precision, and stores for the features that fit.

    Args:
        options: The search's.
        data: All images of the study; `--search-images` draws from them.
        weights: The base's.
        devices: From `prepare_devices`, which comes before anything is computed.
        precision: The one the study began with; None chooses.
        records: Trials of an earlier run.
        began: `time.monotonic()` when the images began to be read.
    """

    def __init__(
        self,
        options: SearchOptions,
        data: StudyData,
        weights: BaseWeights,
        *,
        devices: str,
        precision: str | None,
        records: Sequence[TrialRecord],
        began: float,
    ) -> None:
        self.options, self.data, self.weights, self.records = options, data, weights, records
        self.devices, self.began = devices, began
        chosen = choose_precision(precision or options.precision)
        self.precision = chosen._replace(reason="as before") if precision else chosen
        self.network = Network(
            weights,
            size=options.image_size,
            classes=len(data.folder.classes),
            precision=self.precision,
        )
        part = data.part(options.search_images, seed=options.seed)
        self.images = part.subset("train"), part.subset("validation")
        self.depths = tuple(sorted(int(depth) for depth in options.space[DEPTH].choices))
        self.features = plan_features(
            ["pooled", *map(cut_below, self.depths)],
            train=len(self.images[0]),
            validation=len(self.images[1]),
            size=options.image_size,
            views=min(options.views, options.max_epochs),
            budget_gb=options.cache_gb,
        )
        self.stores = [FeatureStore(self.network, s, self.features.cuts) for s in self.images]
        self.views = (self.features.views, 1)  # validation has the plain image alone

    def plan(self) -> SearchPlan:
        """Times a few batches and says what is left to be done."""
        spent = time.monotonic() - self.began
        passes = sum(
            len(store.subset)
            for store, views in zip(self.stores, self.views, strict=True)
            for view in range(views)
            if store.missing(view)
        )
        rates = time_rates(
            self.network,
            self.images[0],
            stored=self.features.cuts,
            complete=not passes,
            depths=self.depths,
            units=int(max(self.options.space["head_units"].choices)),
            batch_size=self.options.batch_size,
        )
        return SearchPlan(
            left=rehearse(self.options, self.records),
            done=len(self.records),
            depths=self.depths,
            structures=structures_of(self.options),
            train=len(self.images[0]),
            validation=len(self.images[1]),
            features=self.features,
            passes=passes,
            rates=rates,
            spent=spent,
        )

    def compute_features(self, progress: Progress) -> tuple[FeatureSource, FeatureSource]:
        """Computes what is missing; returns training and validation features."""
        sources = []
        for store, views in zip(self.stores, self.views, strict=True):
            store.compute_all(views, progress.counting)
            sources.append(FeatureSource(store, views=views))
        return sources[0], sources[1]


def prepare(
    options: SearchOptions, study: StudyFolder, progress: Progress, *, resume: bool
) -> Preparation:
    """Reads images and weights and makes the network, in the precision the study began with.

    Raises:
        StudyError: If the images or the weights cannot be used.
    """
    began, devices = time.monotonic(), prepare_devices()
    # Features are computed in batches of their own size.
    require_memory(options.image_size, max(options.batch_size, BATCH_SIZE))
    data = load_data(options, study, progress)
    return Preparation(
        options,
        data,
        load_weights(options.weights, seed=options.seed),
        devices=devices,
        precision=study.manifest().get("precision") if resume else None,
        records=study.trials() if resume else [],
        began=began,
    )


def tell_plan(prepared: Preparation, progress: Progress, budget: float | None) -> SearchPlan:
    """Says on what and in which precision a search computes, and what it will cost."""
    precision = prepared.precision
    progress.note(f"Device: {prepared.devices}. Precision: {precision.name} ({precision.reason}).")
    plan = prepared.plan()
    for line in describe_plan(plan, budget):
        progress.note(line)
    return plan
