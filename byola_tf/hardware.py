"""What the machine can do, and what this process uses of it."""

import logging
import sys

import psutil

# TensorFlow is imported late: memory is also measured in processes without it

logger = logging.getLogger(__name__)


def bfloat16_is_native() -> bool:
    """Whether bfloat16 is faster than float32 here.

    It is on GPUs of compute capability 8 or later, TPUs, and CPUs with
    AVX512-BF16 or AMX; elsewhere it is emulated.
    """
    import tensorflow as tf

    for device in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(device)
        return details.get("compute_capability", (0, 0)) >= (8, 0)
    return bool(tf.config.list_physical_devices("TPU")) or _cpu_has_bfloat16()


def warn_of_emulated_bfloat16() -> None:
    """Logs what bfloat16 costs where it is emulated.

    Measured with TensorFlow 2.17 on a CPU without it: three times the time of a
    training step; the filter gradient of a first convolution, alone, 10 % off.
    """
    if not bfloat16_is_native():
        logger.warning(
            "bfloat16 is not native on this hardware: float32 would be faster and "
            "more exact."
        )


def peak_memory() -> float:
    """The largest resident size of this process so far, MiB."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 2**20
    if sys.platform == "linux":
        # psutil gives no peak there, and getrusage's is inherited from the parent
        with open("/proc/self/status") as file:
            (line,) = [line for line in file if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _cpu_has_bfloat16() -> bool:
    try:
        with open("/proc/cpuinfo") as file:
            flags = file.read()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
