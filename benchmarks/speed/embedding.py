"""Features of one slide, end to end, as whole programs; and the encoder alone.

    python -m benchmarks.speed.embedding [--clam DIR] [--trident DIR] [--peer-python PY]
        [--weights FILE]

The same slide, coordinates, weights and input size (224 pixels, none resized) for all;
the features of the others are compared with ours. FILE holds the weights that the
others' timm finds (`resnet50.tv_in1k`); without others it may be any. `whole process`
counts everything; `without start` leaves out what the program needs where nothing is
left to do. The rivals get the batch size at which plain PyTorch is fastest.
"""

import argparse
import csv
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from benchmarks.accuracy.record import data_folder
from benchmarks.speed import networks
from benchmarks.speed.measure import (
    Contestants,
    Spent,
    Timing,
    coverslip,
    rows_beside,
    run_process,
    show,
    take_turns,
)
from benchmarks.speed.networks import compared
from benchmarks.speed.rivals import Rivals, add_arguments

from coverslip import store
from coverslip.geometry import Mpp
from coverslip.prepare.encoders.published import torch_hub
from coverslip.prepare.patches import Patches

SLIDE = "slides/ln_metastasis_HE_20x.tif"
SIDE = 224
ANEW, BEFORE = "int8, ranges chosen anew", "int8, ranges chosen before"
"""A study's first slide, and every other: int8 is calibrated once a study."""

ASKED = {"fp32": 1.8, "bf16": 3.3, ANEW: 5.5, BEFORE: 5.5}
"""Our ways to run, and what is asked of each against each rival."""

REPEATS = 5

TRIDENT = """
import sys
from trident import load_wsi
from trident.patch_encoder_models import encoder_factory
slide, coords, out, batch = sys.argv[1:]
encoder = encoder_factory("resnet50")
if coords:
    with load_wsi(slide_path=slide, lazy_init=False) as opened:
        opened.extract_patch_features(patch_encoder=encoder, coords_path=coords,
            save_features=out, device="cpu", batch_limit=int(batch))
"""


@dataclass(frozen=True)
class Laid:
    """A study in which the patches of one slide are laid.

    Attributes:
        slide: The slide.
        study: Its folder.
        coords: The file of its patches.
        made: The folder that its features will have.
        count: How many patches there are.
    """

    slide: Path
    study: Path
    coords: Path
    made: Path
    count: int


@dataclass(frozen=True)
class Program:
    """One contestant.

    Attributes:
        run: Makes the features, from nothing to files.
        start: The same where nothing is left to do.
        features: Where they lie afterwards.
    """

    run: "partial[Spent]"
    start: "partial[Spent]"
    features: Path


def main(
    rivals: Rivals | None = None, weights: Path | None = None, *, alone: bool = True
) -> store.Facts:
    """Time all programs, then the encoder alone, and return the rows of the table.

    Args:
        rivals: Who takes part.
        weights: Of the ResNet-50, for all.
        alone: Time the encoder alone, too.
    """
    rivals = rivals or Rivals()
    network = networks.main() if alone else {"rows": [], "eager_batch": 16}
    with TemporaryDirectory() as folder:
        facts = end_to_end(
            Path(folder),
            rivals,
            weights or data_folder() / networks.WEIGHTS,
            network["eager_batch"],
        )
    told = {k: v for k, v in network.items() if k not in {"stage", "rows", "slide"}}
    return {**told, **facts, "rows": [*network["rows"], *facts["rows"]]}


def end_to_end(folder: Path, rivals: Rivals, weights: Path, batch: int) -> store.Facts:
    """Time whole programs on one slide."""
    laid = lay(data_folder() / SLIDE, folder / "study")
    count = laid.count
    programs = {f"coverslip {way}": ours(laid, weights, way) for way in ASKED}
    if "clam" in rivals:
        programs["CLAM"] = clam(folder / "clam", rivals, laid, batch)
    if "trident" in rivals:
        programs["TRIDENT"] = trident(folder / "trident", rivals, laid, batch)
    others = [name for name in programs if not name.startswith("coverslip")]
    repeats = REPEATS if others else 1
    runs: Contestants = {k: (p.run, count) for k, p in programs.items()}
    whole = take_turns(runs, repeats, warm=False)
    starts: Contestants = {k: (p.start, count) for k, p in programs.items()}
    start = take_turns(starts, repeats, warm=False)
    rest = {k: without(whole[k], start[k]) for k in whole}
    bars = {f"coverslip {k}": {"times_rival": v} for k, v in ASKED.items()}
    rows = [
        *rows_beside("whole process", whole, others, bars),
        *rows_beside("without start", rest, others),
    ]
    exact = features_of(programs["coverslip fp32"].features)
    for row in rows:
        row |= compared(features_of(programs[row["who"]].features), exact)
        row |= idle(laid.study, row["who"])
    return {
        "stage": "embedding",
        "slide": f"{laid.slide.name}, {count} patches of {SIDE} px",
        "seconds_of_start": {
            k: float(f"{count / timing.rate:.3g}") for k, timing in start.items()
        },
        "rival_batch": batch,
        "rows": rows,
    }


def lay(slide: Path, study: Path) -> Laid:
    """Find the tissue of a slide and lay its patches."""
    options = ("--out", study, "--size", SIDE, "--quiet")
    run_process(coverslip("patches", slide, *options))
    patching = store.Study(study).patching(Mpp(0.5), SIDE, 0)
    coords = patching.patches(slide.stem)
    made = patching.features_folder("resnet50")
    return Laid(slide, study, coords, made, len(Patches.load(coords)))


def without(whole: Timing, start: Timing) -> Timing:
    """Return what the work took beyond a program's start, which is taken as the median."""
    cpu, wall = (float(np.median(times)) for times in (start.cpu, start.wall))
    return Timing(
        tuple(max(1e-9, one - cpu) for one in whole.cpu),
        tuple(max(1e-9, one - wall) for one in whole.wall),
        whole.items,
    )


def ours(laid: Laid, weights: Path, way: str, *more: object) -> Program:
    """Return `coverslip features`, in a study whose patches are laid.

    Args:
        laid: The study.
        weights: Of the ResNet-50.
        way: Its name, which begins with the precision.
        more: Options of the command.
    """
    slide, study, made = laid.slide, laid.study, laid.made
    kept = made.with_name(f"kept_{way}")
    command = coverslip(
        "features",
        slide,
        *("--out", study, "--weights", weights, "--precision", way.split(",")[0]),
        *("--size", SIDE, "--resize", SIDE, "--crop", SIDE, "--quiet"),
        *more,
    )

    def run(*, fresh: bool) -> Spent:
        if fresh and way != BEFORE:
            shutil.rmtree(kept, ignore_errors=True)
        if fresh and way == ANEW:
            forget_ranges()
        if fresh and kept.exists():
            (kept / f"{slide.stem}.h5").unlink()
        if kept.exists():
            kept.rename(made)
        spent = run_process(command)
        if fresh:  # else it says what the last one waited
            shutil.copy(study / "slides.csv", study / f"coverslip {way}.csv")
        made.rename(kept)
        return spent

    if way == BEFORE:
        run(fresh=True)
    target = kept / f"{slide.stem}.h5"
    return Program(partial(run, fresh=True), partial(run, fresh=False), target)


def forget_ranges() -> None:
    """Remove the kept ResNet-50s that are quantised; those that are traced stay."""
    for path in (torch_hub() / "coverslip").glob("resnet50-*-int8-*"):
        path.unlink()


def clam(folder: Path, rivals: Rivals, laid: Laid, batch: int) -> Program:
    """Return CLAM's `extract_features_fp.py`, given our coordinates, which it reads."""
    slide, coords = laid.slide, laid.coords
    (folder / "coords" / "patches").mkdir(parents=True)
    shutil.copy(coords, folder / "coords" / "patches" / f"{slide.stem}.h5")
    listed = folder / "slides.csv"
    listed.write_text(f"slide_id\n{slide.name}\n")
    out = folder / "features"
    command: list[str | Path] = [
        rivals.python,
        "extract_features_fp.py",
        *("--data_h5_dir", folder / "coords", "--data_slide_dir", slide.parent),
        *("--csv_path", listed, "--feat_dir", out, "--slide_ext", slide.suffix),
        *("--batch_size", str(batch), "--target_patch_size", str(SIDE)),
    ]

    def run(*, fresh: bool) -> Spent:
        if fresh:
            shutil.rmtree(out, ignore_errors=True)
        return run_process(command, cwd=rivals.folders["clam"], env=rivals.env("clam"))

    target = out / "h5_files" / f"{slide.stem}.h5"
    return Program(partial(run, fresh=True), partial(run, fresh=False), target)


def trident(folder: Path, rivals: Rivals, laid: Laid, batch: int) -> Program:
    """Return TRIDENT's extraction of features, given our coordinates, which it reads."""

    def run(*, fresh: bool) -> Spent:
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
        coords = str(laid.coords) if fresh else ""
        given = [str(laid.slide), coords, str(folder), str(batch)]
        command = [rivals.python, "-c", TRIDENT, *given]
        where = rivals.folders["trident"]
        return run_process(command, cwd=where, env=rivals.env("trident"))

    target = folder / f"{laid.slide.stem}.h5"
    return Program(partial(run, fresh=True), partial(run, fresh=False), target)


def features_of(path: Path) -> npt.NDArray[Any]:
    """Return the features in a file, ours or another's, (N, D)."""
    with h5py.File(path) as file:
        features: npt.NDArray[Any] = file["features"][:]
    return features.reshape(-1, features.shape[-1])


def idle(study: Path, who: str) -> store.Facts:
    """Return what encoder and readers waited in our last run of a precision."""
    table = study / f"{who}.csv"
    if not table.exists():
        return {}
    with table.open() as file:
        row = next(csv.DictReader(file))
    return {name: float(row[name]) for name in ("encoder_idle", "readers_idle")}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--weights", type=Path, help="safetensors for all")
    parser.add_argument(
        "--only-whole", action="store_true", help="not the encoder alone"
    )
    add_arguments(parser)
    given = parser.parse_args()
    facts = main(Rivals.asked(given), given.weights, alone=not given.only_whole)
    show(facts)
    print({key: value for key, value in facts.items() if key != "rows"})
