"""Seeds: the same training several times, and its models as one.

They differ by the seed of weights, order and pseudo-bags. How much the figures of the
single models scatter says how far one training can be trusted; the mean of their
probabilities is a model of its own, whose threshold validation chooses anew.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coverslip import store
from coverslip.learn.checkpoint import MODEL_FILE, load_model, save_model
from coverslip.learn.models.ensemble import Ensemble
from coverslip.learn.prediction import predict_bag
from coverslip.learn.split_files import write_splits
from coverslip.learn.splits import Split
from coverslip.pipeline.cohort import Cohort
from coverslip.pipeline.judge.judging import Judged, evaluate_run
from coverslip.pipeline.learn.folds import mean_figures, told
from coverslip.pipeline.learn.following import followed
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.learning import chosen_on_validation, train_model
from coverslip.pipeline.learn.trackers.hook import Tracking
from coverslip.prepare.encoders.devices import choose_device


@dataclass(frozen=True)
class Training:
    """What every training of a run shares.

    Attributes:
        cohort: Labelled bags.
        options: Which model, and how; `training.seed` is the first one's.
        seeds: How many models are trained on a split.
        prepare: Options that made the features.
        tracking: Experiment trackers that follow it.
        quiet: Show no progress.
    """

    cohort: Cohort
    options: LearnOptions
    seeds: int = 1
    prepare: store.Facts | None = None
    tracking: Tracking | None = None
    quiet: bool = False


@dataclass(frozen=True)
class Trained:
    """A model on one split, judged.

    Attributes:
        model: Its file.
        judged: Figures on `val` and `test`.
        lines: What to say of it, after its name.
    """

    model: Path
    judged: dict[str, Judged]
    lines: tuple[str, ...]


def train_on(training: Training, split: Split, folder: Path) -> Trained:
    """Train on one split, or go on: one model, or as many as there are seeds as one.

    With several seeds each model has a folder `seed_<seed>`; `folder` holds their mean
    as a model that predicts like any other, and `seeds.json` the figures of each.

    Raises:
        LabelError: A subset lacks a class.
        ParametersDifferError: The run was begun with other data or options.
    """
    if training.seeds == 1:
        return train_one(training, split, folder)
    for options, place in members(training.options, training.seeds, folder):
        train_one(replace(training, options=options), split, place)
    return put_together(training, split, folder)


def seeded(options: LearnOptions, more: int) -> LearnOptions:
    """Return the same options with a higher seed."""
    training = options.training
    return options.replace(training=training.replace(seed=training.seed + more))


def members(
    options: LearnOptions, seeds: int, folder: Path
) -> list[tuple[LearnOptions, Path]]:
    """Return the options of each seed's model, and its folder."""
    each = (seeded(options, number) for number in range(seeds))
    return [(one, folder / f"seed_{one.training.seed}") for one in each]


def train_one(training: Training, split: Split, folder: Path) -> Trained:
    """Train one model on one split, and judge it."""
    with followed(
        training.tracking, folder, training.cohort, split, training.options
    ) as tracker:
        model = train_model(
            training.cohort,
            split,
            folder,
            training.options,
            training.prepare,
            tracker=tracker,
            quiet=training.quiet,
        )
        return _judge(training, model, split)


def put_together(training: Training, split: Split, folder: Path) -> Trained:
    """Make one model of those of all seeds, which are trained already, and judge it."""
    each = members(training.options, training.seeds, folder)
    models = [place / MODEL_FILE for _, place in each]
    whole = _judge(training, _put_together(training, models, split, folder), split)
    return replace(whole, lines=(*_tell(folder, models), *whole.lines))


def _judge(training: Training, model: Path, split: Split) -> Trained:
    device = training.options.training.device
    judged = evaluate_run(model, training.cohort, split, model.parent, device)
    lines = tuple(one.sentence(subset) for subset, one in judged.items())
    return Trained(model, judged, lines)


def _put_together(
    training: Training, models: list[Path], split: Split, folder: Path
) -> Path:
    """Write the mean of some models as one model, its threshold chosen on validation."""
    device = choose_device(training.options.training.device)
    loaded = [load_model(path, device) for path in models]
    ensemble = Ensemble([model for model, _ in loaded]).to(device).eval()
    cards = [card for _, card in loaded]
    card = replace(
        cards[0],
        members=len(models),
        training={
            "options": training.options.training.facts(),
            "slides": cards[0].training["slides"],
            "members": [card.training for card in cards],
        },
    )
    said = [
        (item, predict_bag(ensemble, item.bag, card.partitions))
        for item in training.cohort.part(split, "val")
        if len(item.bag)
    ]
    rows = training.cohort.join.matched.values()
    write_splits(folder / "splits.csv", [split], rows)
    return save_model(folder, ensemble, chosen_on_validation(card, said))


def _tell(folder: Path, models: list[Path]) -> list[str]:
    """Write the figures of each seed, and say how they scatter."""
    figures = {
        model.parent.name: store.read_json(model.parent / "metrics.json")
        for model in models
    }
    means: dict[str, Any] = {
        subset: mean_figures(own[subset] for own in figures.values() if subset in own)
        for subset in ("val", "test")
    }
    facts = {"seeds": figures, "mean_of_seeds": means}
    store.write_json(folder / "seeds.json", facts)
    return [
        f"mean of {len(models)} seeds, {subset}: {told(own)}"
        for subset, own in means.items()
        if own
    ]
