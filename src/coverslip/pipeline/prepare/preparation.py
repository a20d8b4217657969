"""How slides are prepared and where to: all that decides what a study will hold."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from coverslip import store
from coverslip.geometry import Mpp
from coverslip.options import Options
from coverslip.pipeline.engine import Engine, LocalEngine
from coverslip.prepare.feature_options import FeatureOptions
from coverslip.prepare.patches import PatchOptions
from coverslip.prepare.segmentation import TissueOptions
from coverslip.slides.finding import Scales

PREPARED = "prepare.json"
"""Beside the features of a study: the options that made them."""


class PrepareOptions(Options):
    """Everything that decides what the features of a slide will be."""

    tissue: TissueOptions = Field(default_factory=TissueOptions)
    patches: PatchOptions = Field(default_factory=PatchOptions)
    features: FeatureOptions = Field(default_factory=FeatureOptions)

    def resolved(self) -> "PrepareOptions":
        """Return the options with the weights' whole path, good from any folder."""
        if self.features.weights is None:
            return self
        whole = self.features.replace(weights=self.features.weights.resolve())
        return self.replace(features=whole.facts())


@dataclass(frozen=True)
class Preparation:
    """One way to prepare slides, and the study that takes the results.

    Attributes:
        out: The study folder.
        options: How.
        scales: Scales of level 0 that the user states.
        masks: A mask file, or a folder with one for each slide, in place of finding
            tissue.
        engine: Where slides are worked on.
        jpeg: Write each patch as a JPEG file, too.
        quiet: Show no progress.
    """

    out: Path
    options: PrepareOptions = field(default_factory=PrepareOptions)
    scales: Scales = field(default_factory=Scales)
    masks: Path | None = None
    engine: Engine = field(default_factory=lambda: LocalEngine(os.cpu_count() or 1))
    jpeg: bool = False
    quiet: bool = False

    @property
    def study(self) -> store.Study:
        """The study folder."""
        return store.Study(self.out)

    @property
    def patching(self) -> store.Patching:
        """The folder of this way to lay patches."""
        patches = self.options.patches
        return self.study.patching(Mpp(patches.mpp), patches.size, patches.overlap)

    @property
    def features_folder(self) -> Path:
        """The folder of this encoder's features."""
        return self.patching.features_folder(self.options.features.encoder)

    def imported(self, encoder: str) -> Path:
        """Return the folder of features that come from elsewhere than slides."""
        return self.out / "imported" / store.features_name(encoder)
