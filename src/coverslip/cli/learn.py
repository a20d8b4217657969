"""Commands that learn: `train`, `evaluate`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import coverslip
from coverslip.cli.config import CONFIG, model_settings
from coverslip.cli.engine import engine_from, engine_options
from coverslip.cli.options import Command, options_of, pick
from coverslip.cli.prepare import QUIET
from coverslip.cli.telling import JSON, command_line, tell
from coverslip.errors import OptionError
from coverslip.learn.models.zoo import MODELS, entry
from coverslip.learn.splits import SplitOptions
from coverslip.learn.train_options import TrainOptions
from coverslip.pipeline.learn.learn_options import PRESETS, LearnOptions
from coverslip.pipeline.learn.trackers.hook import TRACKERS
from coverslip.pipeline.learn.train_plan import TrainPlan
from coverslip.prepare.encoders.devices import Device

if TYPE_CHECKING:  # they load torch
    from collections.abc import Mapping

    from coverslip.pipeline.judge.judging import Judged
    from coverslip.pipeline.learn.runs import TrainResult

PRESETS_OF = "dmia"
"""The model that presets are for; it is the default."""

TRAIN_NAMES = {"device": "train_device", "precision": "train_precision"}


def label_options(command: Command) -> Command:
    """Give a command the options that say where labels come from."""
    command = click.option(
        "--labels-from-names",
        is_flag=True,
        help="Take labels from slide names: tumor_... and normal_... .",
    )(command)
    return click.option(
        "--labels",
        type=click.Path(path_type=Path),
        help="CSV slide_id,label (also case_id, split).",
    )(command)


model_option = click.option(
    "--model",
    default=PRESETS_OF,
    show_default=True,
    help=f"Model to train: {', '.join(MODELS)}.",
)
model_options = click.option(
    "--model",
    "models",
    multiple=True,
    default=[PRESETS_OF],
    show_default=True,
    help="Model to train; given several times, several on the same splits: "
    f"{', '.join(MODELS)}.",
)


def learn_options(command: Command) -> Command:
    """Give a command the options that say what is trained, and how."""
    command = options_of(TrainOptions, rename=TRAIN_NAMES)(command)
    command = options_of(SplitOptions)(command)
    for option in (
        click.option(
            "--tracker",
            "trackers",
            multiple=True,
            type=click.Choice(TRACKERS),
            help="Experiment tracker that follows the training; may be given several "
            "times.",
        ),
        click.option(
            "--seeds",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Train so many models on a split, from --seed on, and average them.",
        ),
        click.option(
            "--repeats",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Deal the folds so often, each time with other seeds.",
        ),
        click.option(
            "--folds",
            type=click.IntRange(0),
            default=0,
            show_default=True,
            help="Cross-validate with so many folds.",
        ),
        click.option(
            "--split",
            type=click.Path(path_type=Path),
            help="CSV of a split (or of folds) to use, ours or CLAM's.",
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="Option of the model, such as attention=gated (see docs/method.md).",
        ),
        click.option(
            "--preset",
            type=click.Choice(list(PRESETS)),
            help=f"Named set of options to start from, for {PRESETS_OF} only.",
        ),
        click.option("--name", help="Name of the run.  [default: the model's]"),
    ):
        command = option(command)
    return command


def options_from(given: dict[str, Any]) -> LearnOptions:
    """Make learning options from what was given on the command line.

    Raises:
        OptionError: The model or one of its options is unknown, or the preset is another
            model's.
    """
    changed = pick(TrainOptions, given, rename=TRAIN_NAMES)
    training = {name: getattr(changed, name) for name in changed.model_fields_set}
    model = given["model"]
    filed, preset = model_settings(model)
    preset = given["preset"] or preset
    if preset is not None and model != PRESETS_OF:
        raise OptionError(
            f"--preset {preset} is one of {PRESETS_OF}'s: leave it out with --model "
            f"{model}, and use --set and the options of the training"
        )
    known = entry(model).options.model_fields
    settings = filed | dict(_setting(text) for text in given["settings"])
    for key in settings:
        if key not in known:
            raise OptionError(
                f"--set {key}=...: {key} is not an option of {model}, which takes "
                f"{', '.join(known) or 'none'}"
            )
    changes = {"model_options": settings, "training": training}
    if preset is None:
        return LearnOptions(model=model, **changes)
    return LearnOptions.preset(preset, **changes)


def each_from(given: dict[str, Any]) -> list[LearnOptions]:
    """Make the learning options of every model that was given on the command line.

    Raises:
        OptionError: What is one model's is given with several; or as `options_from`.
    """
    models = given["models"]
    for what, value in (("--set", given["settings"]), ("--name", given["name"])):
        if value and len(models) > 1:
            raise OptionError(f"{what} is for one model: train {models[0]} by itself")
    return [options_from({**given, "model": model}) for model in models]


def plan_from(
    study: Path, given: dict[str, Any], features: Path | None = None
) -> TrainPlan:
    """Make a training plan from what was given on the command line."""
    return TrainPlan(
        name=given["name"],
        features=features,
        splits=pick(SplitOptions, given),
        split_file=given["split"],
        folds=given["folds"],
        repeats=given["repeats"],
        seeds=given["seeds"],
        trackers=given["trackers"],
        quiet=given["quiet"],
        engine=engine_from(study, given),
        typed=command_line(),
    )


def labels_from(given: dict[str, Any]) -> Path | None:
    """Return the label table, or None when names are to tell.

    Raises:
        OptionError: Neither or both were given.
    """
    if (given["labels"] is None) != given["labels_from_names"]:
        raise OptionError("give either --labels CSV or --labels-from-names")
    table: Path | None = given["labels"]
    return table


def _setting(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not equals:
        raise OptionError(f"--set {text}: write it as key=value")
    try:
        return key.strip(), json.loads(value)
    except json.JSONDecodeError:
        return key.strip(), value


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@label_options
@click.option(
    "--features",
    type=click.Path(path_type=Path),
    help="Folder of features; the study's only one when not given.",
)
@model_options
@learn_options
@engine_options
@QUIET
@CONFIG
@JSON
def train(
    study: Path,
    features: Path | None,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """Train a model on the features in STUDY, and judge it on the slides kept apart."""
    models, plan = each_from(given), plan_from(study, given, features)
    labels = labels_from(given)
    from coverslip.pipeline.verbs import train_models  # it loads torch

    results = train_models(study, labels, models, plan)
    tell(
        {"runs": [training_facts(result) for result in results]},
        [line for result in results for line in training_lines(result)],
        as_json=as_json,
    )


def training_lines(result: "TrainResult") -> list[str]:
    """Say what a training came to."""
    models = [f"model: {model}" for model in result.models]
    return [result.report.rstrip(), *result.summary, *models]


def training_facts(result: "TrainResult") -> dict[str, object]:
    """Return what a training came to."""
    return {
        "name": result.folder.name,
        "folder": result.folder,
        "models": result.models,
        "judged": judged_facts(result.judged),
        "summary": result.summary,
        "notes": result.report.splitlines(),
    }


def judged_facts(judged: "Mapping[str, Judged]") -> dict[str, object]:
    """Return figures by subset, as they stand in metrics.json."""
    return {subset: one.facts() for subset, one in judged.items()}


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@label_options
@click.option(
    "--features",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of features of the labelled slides.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for predictions.csv and metrics.json; the run's when not given.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="Where.",
)
@JSON
def evaluate(
    model: Path,
    features: Path,
    out: Path | None,
    device: Device,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - click's
) -> None:
    """Judge MODEL (a run folder or model file) on labelled slides.

    Slides the model was trained or validated on are judged apart from the test.
    """
    folder = out or (model if model.is_dir() else model.parent)
    labels = labels_from(given)
    judged = coverslip.evaluate(model, labels, features, folder, device)
    table = folder / "predictions.csv"
    tell(
        {"predictions": table, "judged": judged_facts(judged)},
        [
            *(one.sentence(subset) for subset, one in judged.items()),
            f"predictions: {table}",
        ],
        as_json=as_json,
    )
