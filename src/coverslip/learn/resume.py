"""Keep a training after each epoch, and take it up again to the same result.

One safetensors file holds the weights, the best weights, both optimisers and the log;
it is replaced whole, so that a training killed at any instant has its last epoch.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from coverslip import store
from coverslip.errors import CorruptFileError
from coverslip.learn.training import Progress, Trainer

STATE_FILE = "state.safetensors"


def save_state(path: Path, trainer: Trainer, made_with: store.Facts) -> None:
    """Write where a training stands.

    Args:
        path: The file.
        trainer: The training.
        made_with: Facts that must be the same for it to go on.
    """
    progress = trainer.progress
    tensors = {f"model/{k}": v for k, v in trainer.model.state_dict().items()}
    tensors |= {f"best/{k}": v for k, v in progress.best_weights.items()}
    for name, optimiser in trainer.optimisers.items():
        for number, moments in optimiser.state_dict()["state"].items():
            for key, value in moments.items():
                tensors[f"adam/{name}/{number}/{key}"] = value
    facts = {"epoch": progress.epoch, "log": progress.log, "best": progress.best}
    facts |= {"since_best": progress.since_best, "made_with": made_with}
    whole = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with store.writing(path) as part:
        part.write_bytes(save(whole, {store.FACTS: json.dumps(facts)}))


def restore_state(path: Path, trainer: Trainer, made_with: store.Facts) -> bool:
    """Bring a training to where it stood; False when there is nothing to go on from.

    Raises:
        ParametersDifferError: It was begun with other data or options.
        CorruptFileError: The file is damaged.
    """
    if not path.exists():
        return False
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})[store.FACTS])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        store.check_same(path, facts["made_with"], made_with)
        _restore(trainer, facts, tensors)
    except (SafetensorError, KeyError, TypeError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CorruptFileError(
            f"{path}: damaged ({reason}): delete it to train from the beginning"
        ) from None
    return True


def _restore(
    trainer: Trainer, facts: store.Facts, tensors: dict[str, torch.Tensor]
) -> None:
    groups: dict[str, dict[str, torch.Tensor]] = {"model": {}, "best": {}, "adam": {}}
    for key, value in tensors.items():
        group, _, name = key.partition("/")
        groups[group][name] = value
    trainer.model.load_state_dict(groups["model"])
    for name, optimiser in trainer.optimisers.items():
        optimiser.load_state_dict(
            {**optimiser.state_dict(), "state": _moments(groups["adam"], name)}
        )
    best = facts["best"]
    trainer.progress = Progress(
        epoch=facts["epoch"],
        log=facts["log"],
        best=None if best is None else tuple(best),
        best_weights={k: v.to(trainer.device) for k, v in groups["best"].items()},
        since_best=facts["since_best"],
    )


def _moments(
    adam: dict[str, torch.Tensor], name: str
) -> dict[int, dict[str, torch.Tensor]]:
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for path, value in adam.items():
        optimiser, number, key = path.split("/")
        if optimiser == name:
            moments.setdefault(int(number), {})[key] = value
    return moments
