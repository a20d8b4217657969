"""The base of every stage's options: frozen, validated, unknown keys refused."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from coverslip.errors import OptionError


class Options(BaseModel):
    """Options of one stage: immutable, checked when made, comparable, JSON-ready.

    Each field has a default and a description; the command line is made from them.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - pydantic checks them
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise OptionError(_sentence(type(self).__name__, error)) from None

    def replace(self, **changes: object) -> Self:
        """Return a copy with some fields changed, checked again."""
        return type(self)(**{**self.model_dump(), **changes})

    def facts(self) -> dict[str, Any]:
        """Return the options as JSON-ready facts."""
        return self.model_dump(mode="json")


def _sentence(name: str, error: ValidationError) -> str:
    """Say in one line which options are wrong and why."""
    parts = []
    for item in error.errors():
        where = ".".join(str(step) for step in item["loc"]) or "(all)"
        if item["type"] == "extra_forbidden":
            parts.append(f"{where} is not an option")
        else:
            parts.append(f"{where}={item['input']!r}: {item['msg']}")
    return f"{name}: " + "; ".join(parts)
