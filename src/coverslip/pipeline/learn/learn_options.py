"""Which model is trained, and how: the options, and named sets of them."""

from typing import Any, Self

from pydantic import Field, model_validator

from coverslip.errors import DataError
from coverslip.learn.models import dmia_options
from coverslip.learn.models.zoo import entry
from coverslip.learn.train_options import PAPER, TrainOptions
from coverslip.options import Options

PRESETS: dict[str, dict[str, Any]] = {
    "dmia": {},
    "dmia_l2": {"model_options": dmia_options.PRESETS["dmia_l2"].facts()},
    "paper": {
        "model_options": dmia_options.PRESETS["paper"].facts(),
        "training": PAPER,
    },
}
"""The defaults; the literal recipe with an instance loss; the seed's, its budget too."""


class LearnOptions(Options):
    """Which model is trained, and how."""

    model: str = Field("dmia", description="name of the model")
    model_options: dict[str, Any] = Field(
        default_factory=dict, description="options of the model, key=value"
    )
    training: TrainOptions = Field(default_factory=TrainOptions)

    @model_validator(mode="before")
    @classmethod
    def _only_what_is_not_the_default(cls, given: Any) -> Any:  # noqa: ANN401 - pydantic's
        """Keep, of the model's options, those that change something.

        So the same model compares as the same, whether its defaults were said or not.
        """
        if not isinstance(given, dict) or not given.get("model_options"):
            return given
        kind = entry(given.get("model", cls.model_fields["model"].default)).options
        chosen, usual = kind(**given["model_options"]).facts(), kind().facts()
        changed = {key: one for key, one in chosen.items() if one != usual[key]}
        return {**given, "model_options": changed}

    @model_validator(mode="after")
    def _the_model_takes_its_options(self) -> Self:
        self.of_model()
        return self

    def of_model(self) -> Options:
        """Return the model's options, the defaults filled in.

        Raises:
            OptionError: The model is unknown, or does not take these options.
        """
        return entry(self.model).options(**self.model_options)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "LearnOptions":  # noqa: ANN401
        """Return a named set of options, some of them changed.

        Raises:
            DataError: There is no such preset.
        """
        if name not in PRESETS:
            known = ", ".join(PRESETS)
            raise DataError(f"preset {name!r} is unknown: choose from {known}")
        merged = dict(PRESETS[name])
        for key in ("model_options", "training"):
            both = {**merged.get(key, {}), **changes.pop(key, {})}
            merged[key] = both
        return cls(**merged, **changes)
