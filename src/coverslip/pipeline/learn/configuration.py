"""The resolved configuration of a run: every option as it was, to be run again.

    runs/<name>/config.toml

It lies beside `config.json`, which decides whether a model is kept; this one is for
people and for `--config`. Where the work was done (engine, workers) is not in it, as
results do not depend on that. Paths in the study are relative to the file, so that a
study can be moved; others are whole.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from coverslip import store
from coverslip.errors import CorruptFileError
from coverslip.judge.detections import FrocOptions
from coverslip.learn.splits import SplitOptions
from coverslip.learn.train_options import TrainOptions
from coverslip.options import Options
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.train_plan import TrainPlan
from coverslip.pipeline.prepare.preparation import Preparation
from coverslip.prepare.feature_options import FeatureOptions
from coverslip.prepare.patches import PatchOptions
from coverslip.prepare.segmentation import TissueOptions
from coverslip.toml import Table, read_toml, toml_text
from coverslip.version import __version__

if TYPE_CHECKING:  # it loads torch
    from coverslip.pipeline.learn.trainings import Source

RESOLVED = "config.toml"
"""In a run's folder."""

SECTIONS: dict[str, type[Options]] = {
    "tissue": TissueOptions,
    "patches": PatchOptions,
    "features": FeatureOptions,
    "split": SplitOptions,
    "train": TrainOptions,
    "froc": FrocOptions,
}
"""The options that each section of a configuration holds, by their own names."""


def resolved_preparation(
    slides: Sequence[Path], preparation: Preparation, annotations: Path | None = None
) -> Table:
    """Return how slides are prepared, and which.

    Args:
        slides: Slides, or folders of slides.
        preparation: How.
        annotations: Folder of annotations to be outlined in heatmaps.
    """
    options, scales = preparation.options.resolved(), preparation.scales
    return {
        "slides": [str(place.resolve()) for place in slides],
        "annotations": _whole(annotations),
        "mpp": scales.missing,
        "mpp_csv": _whole(scales.table),
        "mask": _whole(preparation.masks),
        "jpeg": preparation.jpeg or None,
        **{name: getattr(options, name).facts() for name in type(options).model_fields},
    }


def resolved_training(
    study: Path, source: "Source", options: LearnOptions, plan: TrainPlan
) -> Table:
    """Return how a model is trained, on which features and labels.

    Args:
        study: The study folder.
        source: Features and labels.
        options: Which model, and how.
        plan: On which splits; with it, how the same command prepared the slides.
    """
    features = None if plan.prepared else _from_run(study, source.features)
    top = {
        "out": _from_run(study, study),
        "labels": _from_run(study, source.labels),
        "labels_from_names": True if source.labels is None else None,
        "name": plan.name or options.model,
        "tracker": list(plan.trackers) or None,
    }
    sections = {
        "split": {
            **plan.splits.facts(),
            "file": _from_run(study, plan.split_file),
            "folds": plan.folds,
            "repeats": plan.repeats,
        },
        "model": {"name": options.model, "options": options.of_model().facts()},
        "train": {
            **options.training.facts(),
            "seeds": plan.seeds,
            "features": features,
        },
    }
    return {**top, **plan.prepared, **sections}


def keep_resolved(folder: Path, command: str, table: Table) -> None:
    """Write a run's configuration, unless the one that is there says the same.

    Args:
        folder: The run's.
        command: That made it, and does so again.
        table: The configuration; what is None is left out, but for options that are
            something else when nothing is said.
    """
    path = folder / RESOLVED
    text = toml_text(_given(table))
    if path.exists() and _agree(_known(path), tomllib.loads(text)):
        return
    study = "ANOTHER_STUDY" if command == "train" else "--out ANOTHER_STUDY"
    intro = (
        f"# What made this run (coverslip {__version__}). The same again:\n"
        f"#   coverslip {command} {study} --config {path.name}\n\n"
    )
    store.write_text(path, intro + text)


def _known(path: Path) -> Table:
    try:
        return read_toml(path)
    except CorruptFileError:
        return {}


def _agree(one: Table, other: Table) -> bool:
    """Say whether two configurations differ in nothing that both of them name."""
    return bool(one) and all(
        _agree(one[key], value) if isinstance(value, dict) else one[key] == value
        for key, value in other.items()
        if key in one
    )


def _given(table: Table) -> Table:
    """Return a configuration without what is not given."""
    kept: Table = {}
    for name, value in table.items():
        if isinstance(value, dict):
            kept[name] = _given_of(SECTIONS.get(name), value)
        elif value is not None:
            kept[name] = value
    return kept


def _given_of(kind: type[Options] | None, values: Table) -> Table:
    fields = {} if kind is None else kind.model_fields
    kept = {}
    for name, value in values.items():
        if isinstance(value, dict):
            kept[name] = _given_of(None, value)
        elif value is not None or (name in fields and fields[name].default is not None):
            kept[name] = value
    return kept


def _from_run(study: Path, path: Path | None) -> str | None:
    """Return a path as the file of a run has it."""
    whole, root = _whole(path), study.resolve()
    if whole is None or not Path(whole).is_relative_to(root):
        return whole
    return (Path("..") / ".." / Path(whole).relative_to(root)).as_posix()


def _whole(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())
