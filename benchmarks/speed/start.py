"""Start-up: the help, and whole commands on one small slide.

    python -m benchmarks.speed.start [--clam DIR] [--peer-python PY]

A command's own work is what it needs beyond its start: loading its modules and, for
features, the encoder, until it has seen one patch. CLAM has its own preset for biopsies:
by the default one there is no tissue on a slide as small as this.
"""

import argparse
import csv
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.accuracy.record import data_folder
from benchmarks.speed.measure import (
    Contestants,
    Timing,
    coverslip,
    rows_of,
    run_process,
    show,
    take_turns,
)
from benchmarks.speed.rivals import Rivals, add_arguments

from coverslip import store

SLIDE = "slides/ln_metastasis_HE_40x_crop.tif"
"""5,120 pixels wide, at 0.25 um per pixel: a biopsy."""

WEIGHTS = "weights/resnet50_v1_imagenet_trunk.safetensors"
REPEATS = 5

LOAD = {
    "patches": "import coverslip.cli.prepare",
    "features": "import coverslip.cli.features, sys, pathlib, numpy\n"
    "from coverslip.prepare.encoders.registry import load_encoder\n"
    "encoder = load_encoder('resnet50', weights=pathlib.Path(sys.argv[1]))\n"
    "encoder.embed(numpy.zeros((1, 256, 256, 3), numpy.uint8))",
}
"""What each command does before it looks at the slide."""


def main(rivals: Rivals | None = None) -> store.Facts:
    """Time the help and whole commands, and return the rows of the table."""
    rivals = rivals or Rivals()
    slide, weights = data_folder() / SLIDE, data_folder() / WEIGHTS
    with TemporaryDirectory() as folder:
        return {
            "stage": "start",
            "slide": f"{slide.name}, whole processes",
            "rows": [
                *_help(),
                *_patches(slide, Path(folder), rivals),
                *_features(slide, weights, Path(folder)),
            ],
        }


def _help() -> list[store.Facts]:
    timed = take_turns(
        {"coverslip --help": (lambda: run_process(coverslip("--help")), 1)}, REPEATS
    )
    rows = rows_of("help", timed)
    for row in rows:
        row |= {"seconds": _seconds(timed["coverslip --help"]), "bar": {"seconds": 0.5}}
    return rows


def _patches(slide: Path, folder: Path, rivals: Rivals) -> list[store.Facts]:
    """Tissue and patches of one slide, beside CLAM's whole program."""

    def whole() -> object:
        shutil.rmtree(folder / "study", ignore_errors=True)
        command = coverslip("patches", slide, "--out", folder / "study", "--quiet")
        return run_process(command)

    ways: Contestants = {
        "coverslip patches": (whole, 1),
        "its start": (lambda: run_process(_python("patches")), 1),
    }
    if "clam" in rivals:
        source, made = folder / "slides", folder / "clam"
        source.mkdir()
        (source / slide.name).symlink_to(slide)
        clam: list[str | Path] = [
            rivals.python,
            "create_patches_fp.py",
            *("--source", source, "--save_dir", made, "--seg", "--patch"),
            *("--patch_size", "256", "--patch_level", "1", "--no_auto_skip"),
            *("--preset", "bwh_biopsy.csv"),
        ]
        where = rivals.folders["clam"]
        ways["CLAM, create_patches_fp.py"] = (
            lambda: run_process(clam, cwd=where, env=rivals.env("clam")),
            1,
        )
    return _shares("tissue and patches of a small slide", take_turns(ways, REPEATS))


def _features(slide: Path, weights: Path, folder: Path) -> list[store.Facts]:
    """Features of one slide whose patches are laid."""
    study = folder / "study"
    made = study / "20x_256px_0px_overlap" / "features_resnet50"

    def whole() -> object:
        shutil.rmtree(made, ignore_errors=True)
        options = ("--out", study, "--weights", weights, "--quiet")
        return run_process(coverslip("features", slide, *options))

    ways: Contestants = {
        "coverslip features": (whole, 1),
        "its start": (lambda: run_process([*_python("features"), weights]), 1),
    }
    timed = take_turns(ways, REPEATS)
    with (study / "slides.csv").open() as file:
        patches = next(csv.DictReader(file))["patches"]
    return _shares(f"features of a small slide, {patches} patches", timed)


def _shares(what: str, timed: dict[str, Timing]) -> list[store.Facts]:
    """Return the rows of whole commands; the first says how much of it is its start."""
    whole, start, *others = timed
    rows = rows_of(what, timed, rival=others[0] if others else None)
    for row, timing in zip(rows, timed.values(), strict=True):
        row["seconds"] = _seconds(timing)
    share = 1 / timed[start].times_faster(timed[whole])
    rows[0]["share_of_start"] = round(share, 2)
    return rows


def _seconds(timing: Timing) -> float:
    return float(f"{1 / timing.rate:.3g}")


def _python(command: str) -> list[str | Path]:
    return [sys.executable, "-c", LOAD[command]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add_arguments(parser)
    show(main(Rivals.asked(parser.parse_args())))
