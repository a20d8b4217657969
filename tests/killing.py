"""Runs the command line in processes that die at a chosen moment; used as a program.

One request a line, as JSON, on stdin; one answer a line on stdout. The program loads
everything once and forks for each request, so that a death costs no start.

    {"arguments": [...], "acts": FILE, "errors": FILE,
     "replace": 7, "moved": false,       die at the 7th file, before or after the move
     "seconds": 0.4, "signal": 9}        or be sent a signal after so many seconds
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch._dynamo  # noqa: F401 - the first step of Adam loads it

import coverslip.cli.whole
import coverslip.pipeline.verbs  # noqa: F401 - all that the command needs
from coverslip.cli import main
from coverslip.learn.training import Trainer
from coverslip.pipeline.prepare import laying, outlining, preparing
from coverslip.testing import fake_encoder_known


def noting(owner, name, acts):
    """Let a function write its name into a file each time it is called."""
    work = getattr(owner, name)

    def noted(*arguments, **options):
        os.write(acts, f"{name}\n".encode())
        return work(*arguments, **options)

    setattr(owner, name, noted)


def dying(request):
    """Let the process die while the chosen file is moved into place."""
    replace, calls = Path.replace, 0

    def die(self, target):
        nonlocal calls
        calls += 1
        if calls == request["replace"] and not request["moved"]:
            os.kill(os.getpid(), signal.SIGKILL)
        result = replace(self, target)
        if calls == request["replace"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Path.replace = die


def child(request):
    """Run the command; never return."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    errors = os.open(request["errors"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(errors, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    acts = os.open(request["acts"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    noting(outlining, "find_tissue", acts)
    noting(laying, "lay_patches", acts)
    noting(preparing, "extract_features", acts)
    noting(Trainer, "_epoch", acts)
    if "replace" in request:
        dying(request)
    with fake_encoder_known():
        main(request["arguments"])


def answer(request):
    """Fork, wait for the end, and say how it ended: code, or minus the signal."""
    pid = os.fork()
    if pid == 0:
        try:
            child(request)
        except SystemExit as left:
            sys.stderr.flush()
            os._exit(left.code or 0)
        finally:
            os._exit(99)
    if "seconds" in request:
        time.sleep(request["seconds"])
        os.kill(pid, request["signal"])
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    for line in sys.stdin:
        print(answer(json.loads(line)), flush=True)  # noqa: T201 - its answer
