"""What lies in a run's folder: its folds, seeds, splits, and the card of its model."""

from pathlib import Path
from typing import Any

from coverslip import store
from coverslip.errors import DataError
from coverslip.pipeline.learn.folds import fold_folder
from coverslip.tables import read_csv


def model_card(folder: Path) -> dict[str, Any]:
    """Return the card of a run's model; with folds the first one's.

    Raises:
        DataError: There is no card.
    """
    places = [folder, *sorted(folder.glob("fold_*"))]
    for place in places:
        if (place / "model.json").is_file():
            card = store.read_json(place / "model.json")
            if isinstance(card, dict) and {"model", "classes", "partitions"} <= set(
                card
            ):
                return card
    raise DataError(f"{folder}: no model.json in it: train the run again")


def parts_of(folder: Path) -> dict[str, Path]:
    """Return the folders of a run's folds by name, or its own."""
    found = {}
    for repeat in range(len(list(folder.glob("repeat_*"))) + 1):
        for fold in range(
            len(list(fold_folder(folder, repeat, 0).parent.glob("fold_*")))
        ):
            name = f"repeat {repeat}, fold {fold}" if repeat else f"fold {fold}"
            found[name] = fold_folder(folder, repeat, fold)
    return found or {"": folder}


def splits_of(folder: Path) -> dict[str, list[dict[str, str]]]:
    """Return the rows of the split of each part, by name."""
    return {
        name: read_csv(place / "splits.csv", ("slide_id", "label", "split"))
        for name, place in parts_of(folder).items()
        if (place / "splits.csv").is_file()
    }


def trainings_of(folder: Path) -> dict[str, Path]:
    """Return the folders of a run's trainings by name: of its folds and seeds."""
    found = {}
    for name, place in parts_of(folder).items():
        seeds = sorted(place.glob("seed_*"), key=lambda p: int(p.name.split("_")[1]))
        for seed in seeds:
            found[f"{name}, {seed.name}".strip(", ").replace("_", " ")] = seed
        if not seeds:
            found[name or "training"] = place
    return found


def left_out_of(place: Path) -> dict[str, str]:
    """Return the slides whose features could not be used, and why."""
    metrics = place / "metrics.json"
    facts = store.read_json(metrics) if metrics.is_file() else {}
    return dict(facts.get("left_out") or {}) if isinstance(facts, dict) else {}
