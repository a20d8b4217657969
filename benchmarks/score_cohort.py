"""Say how a run on the composed cohort did: slides, patches, and time a stage.

    python benchmarks/score_cohort.py OUT [--run dmia]

OUT is the folder of `compose_cohort.py`, with the study of `coverslip run` in it. A
patch is ranked by tier-1 attention and by tier 1's tumour probability; of the k highest
of a positive test slide, k being its number of tumour patches, the share that is tumour
is printed, beside what chance would give.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from coverslip.judge.metrics import auc
from coverslip.store import read_json
from coverslip.tables import read_csv

Floats = npt.NDArray[np.float64]


def truth_of(folder: Path, slide_id: str) -> dict[tuple[str, str], int]:
    """Return which patches of a slide are tumour, by coordinates as text."""
    rows = read_csv(folder / "truth" / f"{slide_id}.csv")
    return {(row["x"], row["y"]): int(row["tumor"]) for row in rows}


def of_the_highest(tumour: npt.NDArray[np.int64], scores: Floats) -> float:
    """Return the share of tumour among as many highest scores as there is tumour."""
    highest = np.argsort(-scores, kind="stable")[: tumour.sum()]
    return float(tumour[highest].mean())


def main() -> None:
    """Print the scores of one run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", default="dmia")
    given = parser.parse_args()
    study = given.folder / "study"
    run = study / "runs" / given.run
    for subset in ("val", "test"):
        facts = read_json(run / "metrics.json")[subset]
        interval = facts["intervals"]["auc"]
        print(
            f"{subset}: {facts['n']} slides, AUC {facts['auc']:.3f} "
            f"({interval['low']:.3f} to {interval['high']:.3f}, {interval['method']}), "
            f"accuracy {facts['accuracy']:.3f}, sensitivity "
            f"{facts['sensitivity']:.3f}, specificity {facts['specificity']:.3f}"
        )
    by_score: dict[str, list[float]] = {"attention": [], "probability_tumor": []}
    areas: dict[str, list[float]] = {name: [] for name in by_score}
    chance = []
    for row in read_csv(run / "predictions.csv"):
        if row["split"] != "test" or row["label"] != "tumor":
            continue
        truth = truth_of(given.folder, row["slide_id"])
        patches = read_csv(study / "heatmaps" / f"{row['slide_id']}.csv")
        tumour = np.array([truth[patch["x"], patch["y"]] for patch in patches])
        chance.append(tumour.mean())
        for name, shares in by_score.items():
            scores = np.array([float(patch[name]) for patch in patches])
            shares.append(of_the_highest(tumour, scores))
            areas[name].append(auc(tumour, scores))
    print(f"positive test slides: {len(chance)}; tumour patches {np.mean(chance):.1%}")
    for name, shares in by_score.items():
        print(
            f"highest by {name}: {np.mean(shares):.1%} tumour "
            f"(median {np.median(shares):.1%}); patch AUC {np.mean(areas[name]):.3f}"
        )
    slides = read_csv(study / "slides.csv")
    for stage in ("tissue", "patches", "features"):
        seconds = [float(r[f"seconds_{stage}"] or 0) for r in slides]
        print(
            f"{stage}: {sum(seconds):.0f} s in all, {np.median(seconds):.2f} s a slide"
        )


if __name__ == "__main__":
    main()
