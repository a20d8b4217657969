"""Tasks for the machines of a cluster, which import them from here."""

import os
import signal
import time
import warnings
from pathlib import Path

import ray
import torch

from coverslip import store
from coverslip.errors import CorruptFileError, OutputError, SlideWarning


def odd(number):
    """Double a number; some numbers are bad, and 9 concerns all."""
    bad = {
        3: CorruptFileError("three.h5: damaged: delete it"),
        5: ZeroDivisionError("five\nlines"),
        9: OutputError("full"),
    }
    if number in bad:
        raise bad[number]
    return 2 * number


def doubtful(number):
    """Warn of a slide twice, and of something else."""
    for _ in range(2):
        warnings.warn(f"{number}.svs: read with OpenSlide", SlideWarning, stacklevel=1)
    warnings.warn("nobody's business", stacklevel=1)
    return number


def threads(_):
    """Return how many threads PyTorch has there, and which folder it is in."""
    return torch.get_num_threads(), Path.cwd()


def slow(folder, number):
    """Leave a mark of this attempt, take some time, and write a file."""
    node = ray.get_runtime_context().get_node_id()
    store.write_text(folder / "begun" / f"{number}-{node}", "")
    time.sleep(0.4)
    store.write_text(folder / "done" / str(number), str(number))
    return node


def deadly(folder, number):
    """Kill the process at it: always at number 1, else at the first attempt."""
    mark = folder / str(number)
    if number == 1 or not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number
