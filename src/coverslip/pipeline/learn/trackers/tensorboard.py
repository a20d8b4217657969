"""TensorBoard: event files in the run's own folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from coverslip.pipeline.learn.trackers.hook import TrackedRun

FOLDER = "tensorboard"


class Follower:
    """Writes `runs/<name>/tensorboard/`: `tensorboard --logdir study/runs` shows it."""

    def start(self, run: TrackedRun) -> None:
        """Open the log; what it is made with is a text in it."""
        self._writer = SummaryWriter(run.folder / FOLDER)
        self._step = 0
        facts = json.dumps(dict(run.params), indent=2, default=str)
        self._write("add_text", "made_with", f"```\n{facts}\n```")

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Write a point of each curve."""
        self._step = step
        for name, value in figures.items():
            self._write("add_scalar", name, value, step)

    def finish(self, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Write the final figures as points at the last epoch, and the pictures."""
        for name, value in figures.items():
            self._write("add_scalar", f"final/{name}", value, self._step)
        for path in files:
            if path.suffix == ".png":
                with Image.open(path) as picture:
                    pixels = np.asarray(picture.convert("RGB"))  # (H, W, 3)
                self._write(
                    "add_image", path.stem, pixels, self._step, dataformats="HWC"
                )
        self._writer.close()

    def fail(self, reason: str) -> None:
        """Say why, and close."""
        self._write("add_text", "failed", reason, self._step)
        self._writer.close()

    def _write(self, method: str, *values: object, **named: object) -> None:
        getattr(self._writer, method)(*values, **named)
