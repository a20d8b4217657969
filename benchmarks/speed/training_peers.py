"""Training beside torchmil and SOMA: an epoch of the same model on the same bags.

    python -m benchmarks.speed.training_peers [--peer-python PY]

Each program trains with its own networks and its own trainer, in float32, in a process
of the interpreter that has it; ours in float32 and, where the CPU computes in it, in bf16. Starting, reading of files
and validation are left out on both sides. Bags and widths are those of
`benchmarks.speed.training`; nothing is left out at random (dropout 0).
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

import torch
from benchmarks.speed.dtfd import GROUPS
from benchmarks.speed.measure import Contestants, kinds, rows_beside, show, take_turns
from benchmarks.speed.rivals import PACKAGES, Rivals, add_arguments
from benchmarks.speed.training import (
    BAGS,
    DIM,
    PATCHES,
    WIDTH,
    epoch_of,
    make_bags,
)

from coverslip import store
from coverslip.learn.loading import Labelled

HERE = Path(__file__).resolve().parent
CALLED = {"torchmil": "torchmil", "soma": "SOMA"}
OURS = {"abmil": ("gated_abmil",), "dtfd": ("dtfd", "dmia")}
"""Our models that stand beside each model of theirs."""


def main(
    rivals: Rivals | None = None, bags: int = BAGS, patches: int = PATCHES
) -> store.Facts:
    """Time an epoch of each and return the rows of the table.

    Args:
        rivals: Programs that take part, as far as they are installed.
        bags: Bags of an epoch.
        patches: Patches of a bag.
    """
    rivals = rivals or Rivals()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        items = make_bags(Path(folder), bags, patches)
        for model in OURS:
            rows += _beside(model, items, Path(folder), rivals)
    return {
        "stage": "training_peers",
        "slide": f"{bags} bags of {patches:,} random features of length {DIM}",
        "threads": torch.get_num_threads(),
        "rows": rows,
    }


def _beside(
    model: str, items: list[Labelled], folder: Path, rivals: Rivals
) -> list[store.Facts]:
    """Time one model of theirs and ours beside it."""
    ways: Contestants = {
        f"coverslip, {name}, {kind}": (epoch_of(name, items, kind), len(items))
        for name in OURS[model]
        for kind in kinds()
    }
    theirs = []
    with ExitStack() as stack:
        for package in [name for name in PACKAGES if name in rivals]:
            code = start_code(package, folder, model)
            called = f"{CALLED[package]}, {model}, fp32"
            ways[called] = (
                stack.enter_context(rivals.at_work(package, code)),
                len(items),
            )
            theirs.append(called)
        timed = take_turns(ways)
    return rows_beside(f"an epoch, {model}", timed, theirs)


def start_code(package: str, folder: Path, model: str) -> str:
    """Return the Python that prepares a program's `work()`, with as many threads."""
    script = HERE / f"peer_{package}.py"
    return (
        "import runpy, torch\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"
        f"_prepare = runpy.run_path({str(script)!r})['prepare']\n"
        f"work = _prepare({str(folder)!r}, {model!r}, {WIDTH}, {GROUPS})\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add_arguments(parser)
    show(main(Rivals.asked(parser.parse_args())))
