from pathlib import Path

import numpy as np
from random_features import RandomFeatures, configuration, small_network

from concrete_study.search.training import train
from concrete_study.study.saved_training import load_outcome, save_outcome


def test_a_finished_training_is_found_again_by_its_key_alone(tmp_path: Path) -> None:
    outcome = train(
        small_network(),
        configuration(1),
        epochs=2,
        training=RandomFeatures(20, 1),
        validation=RandomFeatures(8, 2),
        seed=1,
        keep_checkpoints=True,
    )
    key = repr(("0003", 0.1 + 0.2))
    save_outcome(tmp_path / "training.npz", outcome, key)
    again = load_outcome(tmp_path / "training.npz", key)
    assert again is not None
    assert again[:2] == outcome[:2]
    assert list(again.checkpoints) == list(outcome.checkpoints)
    for checkpoint, weights in outcome.checkpoints.items():
        for layer, arrays in weights.items():
            for one, other in zip(arrays, again.checkpoints[checkpoint][layer], strict=True):
                np.testing.assert_array_equal(one, other)
    assert load_outcome(tmp_path / "training.npz", repr(("0004", 0.1 + 0.2))) is None
    assert load_outcome(tmp_path / "none.npz", key) is None
