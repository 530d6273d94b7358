"""The number format that the network computes in."""

from pathlib import Path
from typing import Literal, NamedTuple, get_args

import tensorflow as tf

PrecisionName = Literal["float32", "bfloat16", "float16"]
PRECISIONS = ("auto", *get_args(PrecisionName))


class Precision(NamedTuple):
    """The format of activations and products; weights and sums stay float32."""

    name: PrecisionName
    reason: str

    @property
    def policy(self) -> str:
        """The Keras dtype policy."""
        return "float32" if self.name == "float32" else f"mixed_{self.name}"


def choose_precision(wanted: str) -> Precision:
    """Chooses bfloat16 if the hardware multiplies it natively, else float32.

    Args:
        wanted: One of `PRECISIONS`; `auto` depends on the hardware.
    """
    for name in get_args(PrecisionName):
        if wanted == name:
            return Precision(name, "as requested")
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
        if capability and capability >= (8, 0):  # Ampere is the first with bfloat16 cores
            return Precision("bfloat16", "the GPU has bfloat16 cores")
        return Precision("float32", "the GPU has no bfloat16 cores")
    found = {"avx512_bf16", "amx_bf16"} & _cpu_flags()
    if found:
        return Precision("bfloat16", f"the CPU has {', '.join(sorted(found))}")
    return Precision("float32", "the CPU has no bfloat16 instructions")


def _cpu_flags() -> set[str]:
    """Instruction sets as Linux lists them; empty on other systems."""
    listing = Path("/proc/cpuinfo")
    if not listing.exists():
        return set()
    lines = listing.read_text().splitlines()
    return set(next((line for line in lines if line.startswith("flags")), "").split())
