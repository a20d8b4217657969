"""The models by name: the only place that lists them."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from coverslip.errors import OptionError
from coverslip.learn.models.dmia_options import DMIAOptions, DTFDOptions
from coverslip.learn.models.one_tier_options import (
    ABMILOptions,
    ACMILOptions,
    CLAMOptions,
    DSMILOptions,
    InstanceMaxOptions,
    LossAttentionOptions,
    MaxOptions,
    MeanOptions,
    MonotoneOptions,
    TransMILOptions,
)
from coverslip.options import Options

if TYPE_CHECKING:  # it loads torch
    from coverslip.learn.models.model import MILModel


@dataclass(frozen=True)
class Entry:
    """One kind of model.

    Attributes:
        options: The class of its options.
        module: Where it is, beside this module; loaded when a model is made.
        maker: What makes it there, called with (in_dim, n_classes, options, seed).
    """

    options: type[Options]
    module: str
    maker: str

    def make(
        self, in_dim: int, n_classes: int, options: Options, seed: int
    ) -> "MILModel":
        """Make a model; only now PyTorch is loaded."""
        module = import_module(f"coverslip.learn.models.{self.module}")
        made = getattr(module, self.maker)(in_dim, n_classes, options, seed)
        return cast("MILModel", made)


MODELS: dict[str, Entry] = {
    "dmia": Entry(DMIAOptions, "committee", "make_dmia"),
    "mean": Entry(MeanOptions, "mean", "Mean"),
    "max": Entry(MaxOptions, "max", "Max"),
    "instance_max": Entry(InstanceMaxOptions, "instance_max", "InstanceMax"),
    "abmil": Entry(ABMILOptions, "abmil", "ABMIL"),
    "gated_abmil": Entry(ABMILOptions, "abmil", "GatedABMIL"),
    "loss_attention": Entry(LossAttentionOptions, "loss_attention", "LossAttention"),
    "monotone": Entry(MonotoneOptions, "monotone", "Monotone"),
    "dtfd": Entry(DTFDOptions, "dtfd", "DTFD"),
    "clam_sb": Entry(CLAMOptions, "clam", "CLAM"),
    "clam_mb": Entry(CLAMOptions, "clam", "CLAMMB"),
    "dsmil": Entry(DSMILOptions, "dsmil", "DSMIL"),
    "transmil": Entry(TransMILOptions, "transmil", "TransMIL"),
    "acmil": Entry(ACMILOptions, "acmil", "ACMIL"),
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
) -> "MILModel":
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
