"""Tissue and patches: what the slide costs beyond reading one small level of it.

    python -m benchmarks.speed.tissue [--clam DIR] [--trident DIR] [--peer-python PY]

Beside CLAM's and TRIDENT's Otsu path on the same slides: their own functions, warm, from
the opened slide to coordinates on disk. Their rules for what is tissue differ, and so
does the number of patches. The limit is the read of the level itself.
"""

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.speed.measure import (
    Clock,
    Contestants,
    peak_mb,
    rows_beside,
    run_apart,
    show,
    take_turns,
)
from benchmarks.speed.mosaic import mosaic
from benchmarks.speed.rivals import Rivals, add_arguments

from coverslip import store
from coverslip.geometry import Mpp
from coverslip.prepare.patches import PatchOptions, lay_patches
from coverslip.prepare.segmentation import TissueOptions, segment
from coverslip.prepare.tissue import find_tissue, tissue_from_mask
from coverslip.slides.finding import open_slide
from coverslip.slides.overview import read_overview, require_mpp

SIDES = 20_000, 40_000, 100_000
WIDEST_ASKED = 100_000
"""Side of the slide that the second and the memory are asked of."""

PATCHES = PatchOptions()

CLAM = """
from wsi_core.WholeSlideImage import WholeSlideImage
def work():
    slide = WholeSlideImage({path!r})
    level = slide.getOpenSlide().get_best_level_for_downsample(64)
    slide.segmentTissue(seg_level=level, sthresh=8, mthresh=7, close=4, use_otsu=True,
        filter_params=dict(a_t=100, a_h=16, max_n_holes=8), exclude_ids=[], keep_ids=[])
    slide.process_contours({out!r}, patch_level=1, patch_size=256, step_size=256)
"""

TRIDENT = """
from trident import load_wsi
from trident.segmentation_models import segmentation_model_factory
model = segmentation_model_factory('otsu')
def work():
    with load_wsi(slide_path={path!r}, lazy_init=False) as slide:
        slide.segment_tissue(segmentation_model=model, target_mag=model.target_mag,
            job_dir={out!r}, device='cpu')
        slide.extract_tissue_coords(target_mag=20, patch_size=256, save_coords={out!r})
"""

DRIVERS = {"CLAM": CLAM, "TRIDENT": TRIDENT}


def main(rivals: Rivals | None = None) -> store.Facts:
    """Time all slides and return the rows of the table."""
    rows = []
    for side in SIDES:
        rows += _against(side, rivals or Rivals())
        rows += _beyond_reading(side)
    return {
        "stage": "tissue",
        "slide": "mosaics of real tissue, 0.25 um per pixel, a third of it tissue",
        "rows": rows,
    }


def _against(side: int, rivals: Rivals) -> list[store.Facts]:
    """Time the whole way beside the others'."""
    path = mosaic(side)
    with TemporaryDirectory() as folder, ExitStack() as stack:
        ways: Contestants = {"coverslip": (lambda: lay(path, Path(folder)), 1)}
        for name, driver in DRIVERS.items():
            if name.lower() in rivals:
                out = Path(folder) / name
                out.mkdir()
                code = driver.format(path=str(path), out=str(out))
                work = stack.enter_context(rivals.at_work(name.lower(), code))
                ways[name] = (work, 1)
        timed = take_turns(ways)
    task = f"tissue and patches, {side:,} px"
    bars = {"coverslip": {"times_rival": 1.0}}
    return rows_beside(task, timed, list(ways)[1:], bars)


def _beyond_reading(side: int) -> list[store.Facts]:
    """Return what reading costs and what all else does, each in fresh processes."""
    tries = [run_apart(__spec__.name, "--once", mosaic(side)) for _ in range(5)]
    rows = []
    for who in ("reading the level", "all beyond it"):
        seconds = sorted(one[who] for one in tries)[2]
        row: store.Facts = {
            "what": f"tissue and patches, {side:,} px, cold",
            "who": who,
            "per_cpu_second": None,
            "times_rival": None,
            "of_limit": None,
            "seconds": round(seconds, 4),
        }
        if who == "all beyond it":
            row["peak_mb"] = max(one["peak_mb"] for one in tries)
            row["patches"] = tries[0]["patches"]
            if side >= WIDEST_ASKED:
                row["bar"] = {"seconds": 1.0, "peak_mb": 500}
        rows.append(row)
    return rows


def lay(path: Path, folder: Path) -> int:
    """Find tissue, lay patches and write both; return how many patches."""
    with open_slide(path) as slide:
        tissue = find_tissue(slide)
        tissue.save(folder / "tissue.geojson")
        patches = lay_patches(slide, tissue, PATCHES)
        patches.save(folder / "patches.h5", slide, PATCHES.overlap)
    return len(patches)


def once(path: Path) -> store.Facts:
    """Do it once, in parts; return CPU seconds, patches and the peak of memory."""
    options = TissueOptions()
    with open_slide(path) as slide:
        reading = Clock()
        picture, bounds = read_overview(slide, Mpp(options.mask_mpp))
        read = reading.spent().cpu
        beyond = Clock()
        px_mpp = bounds.l0_width / picture.shape[1] * require_mpp(slide)
        mask, _ = segment(picture, px_mpp, options)
        tissue = tissue_from_mask(slide, mask, {})
        patches = lay_patches(slide, tissue, PATCHES)
        rest = beyond.spent().cpu
    return {
        "reading the level": read,
        "all beyond it": rest,
        "patches": len(patches),
        "peak_mb": peak_mb(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    add_arguments(parser)
    given = parser.parse_args()
    if given.once is not None:
        print(json.dumps(once(given.once)))
        sys.exit(0)
    show(main(Rivals.asked(given)))
