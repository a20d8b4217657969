"""The demo: paint a cohort, run everything on it, and show what came out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coverslip.cohorts.painted.cohort import PaintedCohort, PaintedOptions, paint_cohort
from coverslip.learn.splits import SplitOptions
from coverslip.pipeline import verbs
from coverslip.pipeline.demo_options import DemoOptions
from coverslip.pipeline.engine import LocalEngine
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.prepare.preparation import Preparation, PrepareOptions
from coverslip.prepare.annotations import read_annotations, tumor_share
from coverslip.tables import read_csv


@dataclass(frozen=True)
class HotPatches:
    """How well the hottest patches of a positive slide hit its painted lesions.

    Attributes:
        slide_id: The slide.
        lesion_share: Share of all its patches that lie in a lesion, by half or more.
        hits: Of its most attended patches, as many as there are lesion patches, the
            share that lies in a lesion.
    """

    slide_id: str
    lesion_share: float
    hits: float


@dataclass(frozen=True)
class DemoResult:
    """What the demo came to."""

    cohort: PaintedCohort
    ran: verbs.RunResult
    hot: tuple[HotPatches, ...]

    def story(self) -> str:
        """Tell it in a few lines."""
        test = self.ran.trained.judged["test"]
        lines = ["", "Hottest patches against the painted lesions (test slides):"]
        lines += [
            f"  {h.slide_id}: {h.hits:.0%} of the hottest lie in a lesion; "
            f"{h.lesion_share:.0%} would by chance"
            for h in self.hot
        ]
        mean = np.mean([h.hits for h in self.hot]) if self.hot else float("nan")
        chance = np.mean([h.lesion_share for h in self.hot]) if self.hot else mean
        lines += [
            f"  mean: {mean:.0%}, by chance {chance:.0%}",
            "",
            *(f"heatmap: {picture}" for picture in self.ran.pictures),
            f"tissue:  {self.ran.table.path.parent / 'tissue' / 'thumbnails'}",
            f"tables:  {self.ran.trained.folder / 'predictions.csv'}",
            f"model:   {self.ran.trained.models[0]}",
            *(f"report:  {r.path}" for r in (self.ran.report,) if r is not None),
            "",
            test.sentence("Held-out slides"),
        ]
        return "\n".join(lines)


def demo(
    out: Path,
    options: DemoOptions | None = None,
    *,
    quiet: bool = False,
    typed: str = "",
) -> DemoResult:
    """Paint slides with lesions, then run the whole pipeline on them.

    Args:
        out: Folder for the painted slides and the study.
        options: How large it is.
        quiet: Show no progress.
        typed: The command line that asks for it, to be remembered with the run.
    """
    options = options or DemoOptions()
    painted = PaintedOptions(n_slides=options.slides, seed=options.seed)
    cohort = paint_cohort(out, painted, workers=2)
    preparation = Preparation(
        out / "study",
        PrepareOptions(features={"encoder": "efficientnet-lite0"}),
        engine=LocalEngine(2),
        quiet=quiet,
    )
    learn = LearnOptions.preset(
        "dmia",
        training={"epochs": options.epochs, "patience": None, "seed": options.seed},
    )
    split = SplitOptions(val_share=0.2, test_share=0.35, split_seed=options.seed)
    plan = verbs.TrainPlan(name="demo", splits=split, quiet=quiet, typed=typed)
    ran = verbs.run(
        [cohort.slides],
        cohort.labels_csv,
        preparation,
        learn,
        plan,
        annotations=cohort.annotations,
    )
    return DemoResult(cohort, ran, hot_patches(cohort, ran, preparation))


def hot_patches(
    cohort: PaintedCohort, ran: verbs.RunResult, preparation: Preparation
) -> tuple[HotPatches, ...]:
    """Compare the most attended patches of each positive test slide with its lesions."""
    options = preparation.options.patches
    l0_side = options.size * options.mpp / PaintedOptions().l0_mpp
    found = []
    for picture in ran.pictures:
        lesions = cohort.lesions(picture.stem)
        if not lesions.exists():
            continue
        rows = read_csv(picture.with_suffix(".csv"))
        coords = np.array([[int(row["x"]), int(row["y"])] for row in rows])
        region = read_annotations(lesions).region
        inside = tumor_share(coords, l0_side, region) >= 0.5
        if inside.any():
            hits = inside[: int(inside.sum())].mean()
            found.append(HotPatches(picture.stem, float(inside.mean()), float(hits)))
    return tuple(found)
