"""What a process has used of the machine."""

import subprocess
import sys

import psutil

from byola_tf import hardware


def test_peak_memory_is_this_process_s_and_not_its_parent_s():
    used = psutil.Process().memory_info().rss / 2**20
    ours = hardware.peak_memory()
    assert 0.9 * used < ours
    program = "from byola_tf import hardware, errors; print(hardware.peak_memory())"
    ballast = bytearray(100 * 2**20)  # what a child would inherit of a peak
    child = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert len(ballast) and 1 < float(child.stdout) < 90  # nor is TensorFlow imported
