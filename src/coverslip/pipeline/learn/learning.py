"""Train a model on a labelled cohort, into a run folder that can be taken up again."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from coverslip import store
from coverslip.errors import (
    CorruptFileError,
    LabelError,
    OptionError,
)
from coverslip.judge.metrics import choose_threshold
from coverslip.learn.bags import feature_statistics
from coverslip.learn.checkpoint import MODEL_FILE, ModelCard, save_model
from coverslip.learn.loading import Labelled
from coverslip.learn.models.model import MILModel
from coverslip.learn.models.zoo import build
from coverslip.learn.prediction import Prediction, predict_bag
from coverslip.learn.resume import STATE_FILE, restore_state, save_state
from coverslip.learn.split_files import write_splits
from coverslip.learn.splits import Split
from coverslip.learn.training import Trainer
from coverslip.pipeline.cohort import Cohort
from coverslip.pipeline.judge.trusting import fitted_on_validation
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.trackers.hook import Followers
from coverslip.show.figures import draw_training
from coverslip.tables import read_csv, write_csv


def train_model(
    cohort: Cohort,
    split: Split,
    folder: Path,
    options: LearnOptions | None = None,
    prepare: store.Facts | None = None,
    *,
    tracker: Followers | None = None,
    quiet: bool = False,
) -> Path:
    """Train one model on one split, or go on where a training was interrupted.

    Args:
        cohort: Labelled bags.
        split: Which slide trains, validates and tests.
        folder: The run's folder: config, split, log, checkpoint.
        options: Which model, and how.
        prepare: Options that made the features, for predicting raw slides later.
        tracker: Follows the epochs; who trains begins and ends its record.
        quiet: Show no progress.

    Returns:
        The model file.

    Raises:
        LabelError: A subset lacks a class.
        ParametersDifferError: The run was begun with other data or options.
    """
    options = options or LearnOptions()
    made_with = {
        "options": options.facts(),
        "features": cohort.facts,
        "classes": list(cohort.join.labels.classes),
        "split": dict(sorted(split.items())),
    }
    config, state = folder / "config.json", folder / STATE_FILE
    if (folder / MODEL_FILE).exists():
        store.check_same(config, _known(config), made_with)
        state.unlink(missing_ok=True)
        return folder / MODEL_FILE
    trainer = _trainer(cohort, split, options)
    restore_state(state, trainer, made_with)
    write_splits(folder / "splits.csv", [split], cohort.join.matched.values())
    store.write_json(config, {"made_with": made_with, "left_out": cohort.left_out})
    _advance(trainer, folder, made_with, tracker or Followers(), quiet=quiet)
    model = trainer.finish()
    card = _card(model, trainer, cohort, options, prepare)
    draw_training(folder / "figures" / "training.png", read_csv(folder / "log.csv"))
    path = save_model(folder, model, card)
    state.unlink(missing_ok=True)
    return path


def _known(config: Path) -> store.Facts:
    """Return what a finished run was made with."""
    facts = store.read_json(config) if config.exists() else None
    if not isinstance(facts, dict) or not isinstance(facts.get("made_with"), dict):
        raise CorruptFileError(
            f"{config}: does not say how the model beside it was made: delete the run's "
            "folder to train again"
        )
    made_with = dict(facts["made_with"])
    with suppress(OptionError, KeyError, TypeError):  # older runs may say defaults, too
        made_with["options"] = LearnOptions(**made_with["options"]).facts()
    return made_with


def _trainer(cohort: Cohort, split: Split, options: LearnOptions) -> Trainer:
    train = [item for item in cohort.part(split, "train") if len(item.bag)]
    val = [item for item in cohort.part(split, "val") if len(item.bag)]
    if not train:
        raise LabelError(
            "training: no slide with patches: label more, or split otherwise"
        )
    in_dim = train[0].bag.features.shape[1]
    classes = cohort.join.labels.classes
    seed = options.training.seed
    model = build(options.model, in_dim, len(classes), options.of_model(), seed)
    mean, deviation = feature_statistics(item.bag for item in train)
    model.standardise.set(torch.from_numpy(mean), torch.from_numpy(deviation))
    return Trainer(model, train, val, options.training)


def _advance(
    trainer: Trainer,
    folder: Path,
    made_with: store.Facts,
    tracker: Followers,
    *,
    quiet: bool,
) -> None:
    bar = tqdm(
        total=trainer.options.epochs,
        initial=trainer.progress.epoch,
        desc="training",
        unit="epoch",
        disable=quiet,
    )
    with bar:
        for row in trainer.epochs():
            # in this order, so that a state never has an epoch that the log has not
            write_csv(folder / "log.csv", list(row), trainer.progress.log)
            save_state(folder / STATE_FILE, trainer, made_with)
            bar.update()
            bar.set_postfix(auc=f"{row['val_auc']:.3f}", loss=f"{row['val_loss']:.3f}")
            tracker.log(int(row["epoch"]), row)


def _card(
    model: MILModel,
    trainer: Trainer,
    cohort: Cohort,
    options: LearnOptions,
    prepare: store.Facts | None,
) -> ModelCard:
    """Write down what the model is, with what validation chooses."""
    partitions = tuple(range(options.training.partitions))
    said = [(item, predict_bag(model, item.bag, partitions)) for item in trainer.val]
    best = trainer.progress.best
    card = ModelCard(
        model=options.model,
        options=options.of_model().facts(),
        in_dim=model.in_dim,
        classes=cohort.join.labels.classes,
        features=cohort.facts,
        prepare=prepare or {},
        partitions=partitions,
        training={
            "options": options.training.facts(),
            "slides": {"train": len(trainer.train), "val": len(trainer.val)},
            "best_epoch": None if best is None else best[2],
            "val_auc": None if best is None else best[0],
        },
    )
    return chosen_on_validation(card, said)


def chosen_on_validation(
    card: ModelCard, said: Sequence[tuple[Labelled, Prediction]]
) -> ModelCard:
    """Return the card with what validation chooses: threshold, temperature, referral.

    Args:
        card: The model's.
        said: Validation slides, and what the model says of them.
    """
    seen = [
        (item.label, one.probabilities)
        for item, one in said
        if one.probabilities is not None
    ]
    labels = np.array([label for label, _ in seen], np.int64)
    chances = np.array([chance for _, chance in seen])
    if len(card.classes) == 2:
        card = replace(card, threshold=choose_threshold(labels, chances[:, 1]))
    return fitted_on_validation(card, labels, chances)
