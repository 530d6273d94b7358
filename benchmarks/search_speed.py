"""A whole Hyperband study, ours beside stock Keras Tuner's, on real images.

    .venv/bin/python benchmarks/search_speed.py --images 100 --precision float32 --lower-bound
    .venv/bin/python benchmarks/search_speed.py --images 400 --stock-trials 6 --output rows.jsonl
    .venv/bin/python benchmarks/search_speed.py --smoke    # 24 images of 32 pixels, a minute

Prints a JSON line per contender as it ends, then tables, ratios first. Expected at 400 images
on 2 cores: stock / ours at least 20 each in its default and 10 both at float32, ours / lower
bound at most 1.3.

- ours: `study search` with an empty cache; then a second study on the same cache.
- stock: `stock.py`, a plain keras_tuner.Hyperband that pays for whole images in every epoch.
- lower bound (`--lower-bound`): the bare passes of the views and the bare training and
  validation steps of our trials, on arrays in memory; no decoding, disk, tracing, or start-up.

Equal, and checked to be: images, split, batch size, seed, the settings of all trials and the
epochs of each. To be so, stock's promoted trials start afresh as ours do (144 epochs instead
of 120 at 10 epochs), and its oracle is told our scores. `--stock-resume` leaves Keras Tuner as
it is: then only the sampled configurations are equal. Without it, `seconds_if_resumed` says
what the epochs that Keras Tuner would have skipped are worth.

Not equal: ours cycles through 5 stored views where stock augments afresh in each epoch; ours
keeps float16 features; initial weights, the order of images and dropout are drawn otherwise,
so losses differ. In its default, stock computes in float32, ours in what the processor favours.

`--stock-trials N` trains N of stock's trials, one of each unfreeze depth among them, and works
out the rest from their seconds per epoch; JSON and tables say that this is extrapolated.

`passes`: whole forward passes of an image through VGG16. `work`: the same and all that phase 2
adds, partial forward passes and gradients, in forward passes by multiplications. Peak memory is
the process's largest resident size; `io_write_mb` is what Linux says it sent to the disk.
"""

import argparse
import json
import math
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datasets.batches_free import nothing  # placeholder
