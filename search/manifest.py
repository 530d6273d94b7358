"""`study.json`: what a study was asked, on what, with what, and how far it is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from datasets.errors import StudyStateError
from models.base import BaseWeights
from results.folder import StudyFolder
from search.data import StudyData
from search.environment import git_commit, versions
from search.options import SearchOptions
from search.schedule import total_trials


@contextmanager
def kept_manifest(
    study: StudyFolder, options: SearchOptions, data: StudyData, weights: BaseWeights
) -> Iterator[dict[str, Any]]:
    """Keeps `study.json` true: running, then finished, interrupted or failed, and how long."""
    resumed = study.manifest_path.exists()
    manifest = study.manifest() if resumed else _new_manifest(study, options, data)
    require_same_weights(study, manifest.setdefault("weights_sha256", weights.sha256), weights)
    before, start = manifest["seconds"], time.monotonic()
    manifest |= {"state": "running", "finished": None}
    study.write_manifest(manifest)
    state = "failed"
    try:
        yield manifest
        state = "finished"
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    finally:
        manifest["seconds"] = round(before + time.monotonic() - start, 1)
        manifest["state"] = state
        manifest["finished"] = now() if state == "finished" else None
        study.write_manifest(manifest)


def require_same_weights(study: StudyFolder, begun_with: str, weights: BaseWeights) -> None:
    """Raises StudyStateError if the base's weights are not those the study began with."""
    if begun_with != weights.sha256:
        raise StudyStateError(
            f"the weights of study {study.name} have changed.",
            f"Expected SHA-256 {begun_with} of {weights.source}; received {weights.sha256}.",
            "put the weights back, or --overwrite to start again.",
        )


def _new_manifest(study: StudyFolder, options: SearchOptions, data: StudyData) -> dict[str, Any]:
    schedule = options.schedule()
    subsets = ("train", "validation", "test")
    return {
        "name": study.name,
        "created": now(),
        "finished": None,
        "seconds": 0.0,
        "state": "running",
        "options": options.to_json(),
        "schedule": [r._asdict() for r in schedule],
        "planned_trials": total_trials(schedule),
        "data": str(data.folder.root),
        "classes": data.folder.classes,
        "images": {name: len(data.subset(name)) for name in subsets},
        "faults": [fault._asdict() for fault in data.folder.faults],
        "fingerprint": data.folder.fingerprint,
        "seeds": {"study": options.seed, "oracle": 1000 * options.seed + 1},
        "versions": versions(),
        "commit": git_commit(),
        "test_opened": [],
    }


def now() -> str:
    """Local time with its offset, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
