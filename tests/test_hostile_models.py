"""Hostile models and arrays: no code in them runs."""

import pickle
from pathlib import Path

import keras
import numpy as np
import pytest

from concrete_study.datasets.errors import DamagedModelError
from concrete_study.models.export import open_keras_file
from concrete_study.study.saved_training import TrainingFile


def test_a_pickle_in_a_training_file_is_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "training.npz"
    np.savez(path, head=np.array([Evil(tmp_path / "evil")], dtype=object))
    assert TrainingFile(path, "key").load() is None
    path.write_bytes(pickle.dumps(Evil(tmp_path / "evil")))
    assert TrainingFile(path, "key").load() is None
    assert not (tmp_path / "evil").exists()


class Evil:
    """Unpickled, it creates a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_model_with_code_in_it_is_refused(suffix: str, tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    layer = keras.layers.Lambda(lambda x, file=str(evil): open(file, "w") and x)  # noqa: PTH123, SIM115
    path = tmp_path / "study" / "best" / f"model{suffix}"
    path.parent.mkdir(parents=True)
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    with_code = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with_code.add(layer)
    evil.unlink(missing_ok=True)  # building the model ran the layer once
    with_code.save(path)
    with pytest.raises(DamagedModelError, match="model"):
        open_keras_file(path)
    assert not evil.exists()
