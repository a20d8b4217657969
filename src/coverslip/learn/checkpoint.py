"""A trained model on disk: one safetensors file that says everything about itself.

The weights are tensors; the card (architecture, classes, encoder, patching, threshold,
versions) is JSON in the file's metadata, with a readable copy beside it. Never a
pickle: opening a model from a stranger runs nothing.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from coverslip import store
from coverslip.errors import CorruptFileError, DataError
from coverslip.learn.models.ensemble import Ensemble
from coverslip.learn.models.model import MILModel
from coverslip.learn.models.zoo import build, entry
from coverslip.version import __version__

MODEL_FILE = "model.safetensors"
FORMAT = 1


@dataclass(frozen=True)
class ModelCard:
    """What must be known to use a model, beside its weights.

    Attributes:
        model: Name in the zoo.
        options: Its options.
        in_dim: Length of a feature.
        classes: Class names in the order of the probabilities; of two, the last is
            the positive one.
        features: Encoder and patching of the features it was trained on.
        prepare: Options that make such features from a raw slide.
        partitions: Seeds of the partitions that a prediction averages.
        threshold: Of two classes: the positive one from this probability on, chosen
            on validation.
        temperature: Fitted on validation, for calibrated probabilities; None in models
            of before it was.
        temperature_note: Why it is not simply the best one.
        referral: Limits set by validation beyond which a slide is referred to a person;
            empty in models of before they were.
        training: Options, split sizes and validation figures of the training.
        members: How many models of this kind, in the same file, are averaged.
        versions: Of the programs that made it.
    """

    model: str
    options: dict[str, Any]
    in_dim: int
    classes: tuple[str, ...]
    features: dict[str, Any]
    prepare: dict[str, Any] = field(default_factory=dict)
    partitions: tuple[int, ...] = tuple(range(10))
    threshold: float = 0.5
    temperature: float | None = None
    temperature_note: str = ""
    referral: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    members: int = 1
    versions: dict[str, str] = field(
        default_factory=lambda: {"coverslip": __version__, "torch": torch.__version__}
    )


def save_model(folder: Path, model: MILModel, card: ModelCard) -> Path:
    """Write a model and its card into a run folder.

    Returns:
        The model file.
    """
    path = folder / MODEL_FILE
    facts = {"format": FORMAT, **asdict(card)}
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    store.write_json(folder / "model.json", facts)
    with store.writing(path) as part:  # last: a run with a model in it is complete
        part.write_bytes(save(tensors, {store.FACTS: json.dumps(facts)}))
    return path


def model_file(path: Path) -> Path:
    """Return the model file that a run folder, or the file itself, stands for.

    Raises:
        DataError: There is no model there.
    """
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        fold = path / "fold_0"
        wanted = (
            f"one of its folds, such as {fold}" if fold.is_dir() else "a run folder"
        )
        raise DataError(f"{file}: no model there: give {wanted}, or a {MODEL_FILE}")
    return file


def load_model(
    path: Path, device: torch.device | str = "cpu"
) -> tuple[MILModel, ModelCard]:
    """Read a model.

    Args:
        path: The model file, or the run folder that holds it.
        device: Where to put it.

    Raises:
        DataError: There is no model there, or it is from a newer coverslip.
        CorruptFileError: It is damaged, or not a model of coverslip.
    """
    path = model_file(path)
    try:
        with safe_open(path, "pt", device=str(device)) as file:
            facts = json.loads((file.metadata() or {})[store.FACTS])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        if facts.pop("format") > FORMAT:
            raise DataError(f"{path}: made by a newer coverslip: upgrade this one")
        facts["classes"] = tuple(facts["classes"])
        facts["partitions"] = tuple(facts["partitions"])
        card = ModelCard(**facts)
        model = _untrained(card)
        model.load_state_dict(tensors)
    except (SafetensorError, KeyError, TypeError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CorruptFileError(
            f"{path}: damaged, or not a model of coverslip ({reason}): train again, or "
            "copy it again"
        ) from None
    return model.to(device).eval(), card


def _untrained(card: ModelCard) -> MILModel:
    """Return a model of the card's shape, its weights still to be filled in."""
    if card.members < 1:
        raise ValueError(f"members={card.members}")
    options = entry(card.model).options(**card.options)
    members = [
        build(card.model, card.in_dim, len(card.classes), options)
        for _ in range(card.members)
    ]
    return members[0] if card.members == 1 else Ensemble(members)
