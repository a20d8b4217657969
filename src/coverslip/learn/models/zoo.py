"""The models by name: the only place that lists them."""

from collections.abc import Callable
from dataclasses import dataclass

from coverslip.errors import OptionError
from coverslip.learn.models.abmil import ABMIL, ABMILOptions, GatedABMIL
from coverslip.learn.models.acmil import ACMIL, ACMILOptions
from coverslip.learn.models.clam import CLAM, CLAMMB, CLAMOptions
from coverslip.learn.models.committee import make_dmia
from coverslip.learn.models.dmia import DMIAOptions
from coverslip.learn.models.dsmil import DSMIL, DSMILOptions
from coverslip.learn.models.dtfd import DTFD, DTFDOptions
from coverslip.learn.models.instance_max import InstanceMax, InstanceMaxOptions
from coverslip.learn.models.loss_attention import LossAttention, LossAttentionOptions
from coverslip.learn.models.max import Max, MaxOptions
from coverslip.learn.models.mean import Mean, MeanOptions
from coverslip.learn.models.model import MILModel
from coverslip.learn.models.monotone import Monotone, MonotoneOptions
from coverslip.learn.models.transmil import TransMIL, TransMILOptions
from coverslip.options import Options


@dataclass(frozen=True)
class Entry:
    """One kind of model.

    Attributes:
        options: The class of its options.
        make: Called with (in_dim, n_classes, options, seed).
    """

    options: type[Options]
    make: Callable[..., MILModel]


MODELS: dict[str, Entry] = {
    "dmia": Entry(DMIAOptions, make_dmia),
    "mean": Entry(MeanOptions, Mean),
    "max": Entry(MaxOptions, Max),
    "instance_max": Entry(InstanceMaxOptions, InstanceMax),
    "abmil": Entry(ABMILOptions, ABMIL),
    "gated_abmil": Entry(ABMILOptions, GatedABMIL),
    "loss_attention": Entry(LossAttentionOptions, LossAttention),
    "monotone": Entry(MonotoneOptions, Monotone),
    "dtfd": Entry(DTFDOptions, DTFD),
    "clam_sb": Entry(CLAMOptions, CLAM),
    "clam_mb": Entry(CLAMOptions, CLAMMB),
    "dsmil": Entry(DSMILOptions, DSMIL),
    "transmil": Entry(TransMILOptions, TransMIL),
    "acmil": Entry(ACMILOptions, ACMIL),
}


def entry(name: str) -> Entry:
    """Return the model's entry.

    Raises:
        OptionError: There is no such model.
    """
    if name not in MODELS:
        raise OptionError(f"model {name!r} is unknown: choose from {', '.join(MODELS)}")
    return MODELS[name]


def build(
    name: str,
    in_dim: int,
    n_classes: int,
    options: Options | None = None,
    seed: int = 0,
) -> MILModel:
    """Make a model with weights drawn from the seed.

    Args:
        name: A key of `MODELS`.
        in_dim: Length of a feature, D.
        n_classes: Number of classes, C, at least 2.
        options: Options of that model; its defaults without.
        seed: Draws the initial weights, whatever the global random state.

    Raises:
        OptionError: The model is unknown, the options are another model's, or there
            are fewer than two classes.
    """
    model = entry(name)
    options = model.options() if options is None else options
    if not isinstance(options, model.options):
        raise OptionError(
            f"model {name!r} takes {model.options.__name__}, "
            f"not {type(options).__name__}: pass its own options"
        )
    if n_classes < 2:
        raise OptionError(
            f"n_classes={n_classes}: a classifier needs at least 2 classes"
        )
    return model.make(in_dim, n_classes, options, seed)
