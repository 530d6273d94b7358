import pytest

from concrete_study.search.flops import convolution_shares, epoch_forward_passes

IMAGES = {"train": 70, "validation": 15}


def test_work_is_counted_by_multiplications() -> None:
    cached = ("pooled", "block4_pool")
    block_5 = sum(convolution_shares()[10:])
    assert block_5 == pytest.approx(0.09, abs=0.005)
    assert epoch_forward_passes(0, IMAGES) == 85
    assert epoch_forward_passes(0, IMAGES, cached) == 0
    # Gradients of block 5: three kernels and two inputs, 0.15 of a forward pass.
    assert epoch_forward_passes(3, IMAGES) == pytest.approx(85 + 70 * 0.15, abs=0.5)
    assert epoch_forward_passes(3, IMAGES, cached) == pytest.approx(
        85 * block_5 + 70 * block_5 * 5 / 3
    )
    assert epoch_forward_passes(1, IMAGES, cached) == pytest.approx(85 * block_5 + 70 * block_5 / 3)
    finest = (*cached, "block5_conv2")
    assert epoch_forward_passes(1, IMAGES, finest) == pytest.approx((85 + 70) * block_5 / 3)
    # All 13 convolutions open: nothing is frozen, so nothing can be stored.
    assert epoch_forward_passes(13, IMAGES, cached) > 85 + 70 * 1.9
