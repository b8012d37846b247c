"""The memory that this process has used."""

import sys


def peak_memory() -> float:
    """The largest resident size of this process so far, MiB."""
    try:
        with open("/proc/self/status") as file:
            # not getrusage: that number is inherited from the parent process
            (line,) = [line for line in file if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1024
    except OSError:
        import resource

        unit = 1024 if sys.platform == "darwin" else 1
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / unit / 1024
