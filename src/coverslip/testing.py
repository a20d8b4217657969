"""Small stand-ins, public: test your own code on them without slides or weights.

slide_file    a real pyramidal TIFF with a square of tissue on glass
slide_cohort  a folder of such slides in two colours, and their labels
fake_encoder  an encoder that is instant and knows colours
toy_cohort    features of slides with a planted class, and their labels
FakeEngine    an engine that remembers what it was asked to do
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from coverslip.cohorts.pyramid import write_pyramid
from coverslip.pipeline.engine import Item, Outcome, Result, attempt
from coverslip.prepare.encoders import registry
from coverslip.prepare.encoders.card import IMAGENET_MEAN, IMAGENET_STD, Card
from coverslip.prepare.encoders.devices import Device
from coverslip.prepare.encoders.encoder import Encoder
from coverslip.prepare.features import Features
from coverslip.tables import write_csv

GLASS = 243
TISSUE = (196, 118, 176)
LESION = (150, 90, 190)

FAKE = Card(
    name="fake",
    dim=6,
    input_size=32,
    resize=32,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    licence="Apache-2.0",
    source="made up",
    weights_hash="0" * 64,
)


def slide_file(
    path: Path,
    *,
    size: int | tuple[int, int] = 1024,
    l0_mpp: float | None = 0.5,
    tissue: tuple[int, int, int, int] | None = (256, 256, 768, 768),
    colour: tuple[int, int, int] = TISSUE,
    seed: int = 0,
) -> Path:
    """Write a slide: noisy tissue in a rectangle, glass around it.

    Args:
        path: The file, `.tif`.
        size: Side in pixels, or width and height.
        l0_mpp: Micrometres per pixel; None writes no scale.
        tissue: Left, top, right, bottom of the tissue; None leaves the glass bare.
        colour: Mean colour of the tissue.
        seed: Draws the noise.

    Returns:
        The file.
    """
    rng = np.random.default_rng(seed)
    width, height = (size, size) if isinstance(size, int) else size
    picture = np.full((height, width, 3), GLASS, np.uint8)
    if tissue is not None:
        left, top, right, bottom = tissue
        piece = picture[top:bottom, left:right]
        piece[:] = np.array(colour) + rng.integers(-20, 21, piece.shape)
    write_pyramid(path, picture, l0_mpp)
    return path


@dataclass(frozen=True)
class SlideCohort:
    """A folder of slides, and the table of their labels."""

    slides: Path
    labels: Path


def slide_cohort(folder: Path, *, slides: int = 10, size: int = 1024) -> SlideCohort:
    """Write slides `slide_00.tif`, ...: every other one is `tumor`, in another colour.

    Args:
        folder: Takes the folder `slides` and the table `labels.csv`.
        slides: How many.
        size: Side of each in pixels; a quarter of its area is tissue.
    """
    box = (size // 4, size // 4, size * 3 // 4, size * 3 // 4)
    rows = []
    for number in range(slides):
        slide_id, positive = f"slide_{number:02d}", number % 2 == 1
        slide_file(
            folder / "slides" / f"{slide_id}.tif",
            size=size,
            tissue=box,
            colour=LESION if positive else TISSUE,
            seed=number,
        )
        rows.append({"slide_id": slide_id, "label": "tumor" if positive else "normal"})
    labels = folder / "labels.csv"
    write_csv(labels, ["slide_id", "label"], rows)
    return SlideCohort(folder / "slides", labels)


class FakeNetwork(nn.Module):
    """Mean and standard deviation of each colour: (B, 3, H, W) to (B, 6)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the six numbers of each image."""
        return torch.cat([x.mean(dim=(2, 3)), x.std(dim=(2, 3))], dim=1)


def fake_encoder() -> Encoder:
    """Return an encoder that needs no weights and no time."""
    return Encoder(FAKE, FakeNetwork(), device="cpu")


def load(_weights: Path | None = None, /) -> tuple[Card, nn.Module]:
    """Return card and network as the registry wants them."""
    return FAKE, FakeNetwork()


@contextmanager
def fake_encoder_known() -> Iterator[str]:
    """Within this block, which may hold another, the registry knows `fake`."""
    before = dict(registry.ENCODERS)
    registry.ENCODERS["fake"] = (FAKE, load)
    try:
        yield "fake"
    finally:
        registry.ENCODERS.clear()
        registry.ENCODERS.update(before)


@dataclass(frozen=True)
class ToyCohort:
    """A study with features in it, and its labels."""

    study: Path
    features: Path
    labels: Path


def toy_cohort(
    folder: Path, *, slides: int = 24, patches: int = 40, dim: int = 16, seed: int = 0
) -> ToyCohort:
    """Write a study whose slides differ by a few planted patches.

    Half of the slides are `tumor`: a tenth of their patches are shifted along one axis.

    Args:
        folder: The study folder.
        slides: How many slides.
        patches: Patches of a slide.
        dim: Length of a feature.
        seed: Draws everything.
    """
    rng = np.random.default_rng(seed)
    features = folder / "20x_256px_0px_overlap" / "features_fake"
    rows = []
    for number in range(slides):
        x = rng.normal(size=(patches, dim))
        if number % 2:
            x[: max(1, patches // 10), 0] += 6
        side = int(np.ceil(np.sqrt(patches)))
        grid = np.stack(np.divmod(np.arange(patches), side), axis=1)[:, ::-1] * 256
        slide_id = f"toy_{number:03d}"
        facts: dict[str, Any] = {
            "encoder": {"name": "fake", "dim": dim},
            "patching": {"mpp": 0.5, "size": 256},
        }
        made = Features(slide_id, x.astype(np.float16), grid.astype(np.int64), facts)
        made.save(features / f"{slide_id}.h5")
        label = "tumor" if number % 2 else "normal"
        rows.append({"slide_id": slide_id, "label": label})
    labels = folder / "labels.csv"
    write_csv(labels, ["slide_id", "label"], rows)
    return ToyCohort(folder, features, labels)


@dataclass
class FakeEngine:
    """An engine that runs everything in order and remembers the items."""

    seen: list[object] = field(default_factory=list)
    remote = False

    def run(
        self,
        task: Callable[[Item], Result],
        items: Sequence[Item],
        network: Device | None = None,  # noqa: ARG002 - everything is done here
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield the outcome of each item in order."""
        for item in items:
            self.seen.append(item)
            yield attempt(task, item)


def renamed(card: Card, name: str) -> Card:
    """Return a card under another name, to play an encoder that is not the model's."""
    return replace(card, name=name)
