"""Bring in and hand out the seed's pickles: features of one slide a file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coverslip import store
from coverslip.errors import DataError
from coverslip.interop.pickles import read_pickle_features, write_pickle_features
from coverslip.pipeline.engine import LocalEngine
from coverslip.pipeline.prepare.preparation import Preparation
from coverslip.pipeline.prepare.table import SlideTable
from coverslip.prepare.features import Features, check_finite


def import_pickles(paths: Sequence[Path], preparation: Preparation) -> SlideTable:
    """Read pickles of the seed or of DTFD-MIL into `study/imported/features_<encoder>`.

    Returns:
        The table of slides; a pickle that asks for more than arrays (nothing in it is
        run), is damaged, or holds NaN, has failed and says why.

    Raises:
        OutputError: The study cannot be written.
    """
    encoder = preparation.options.features.encoder
    folder = preparation.imported(encoder)

    def read(path: Path) -> list[Features]:
        slides = []
        for slide_id, slide in read_pickle_features(path).items():
            if {"/", "\\"} & set(slide_id) or slide_id.strip(".") == "":
                raise DataError(
                    f"{path}: slide id {slide_id!r} is no file name: mend it"
                )
            facts = {"imported_from": path.name, "encoder": {"name": encoder}}
            with np.errstate(over="ignore"):  # what is too large becomes infinite
                features = slide.features.astype(np.float16)
            check_finite(features, f"{path}, {slide_id}")
            slides.append(Features(slide_id, features, slide.coords, facts))
        return slides

    table = SlideTable.open(preparation.study.slides_csv)
    for outcome in LocalEngine().run(read, paths):
        path = outcome.item
        if outcome.error is not None:
            slide_id = store.slide_id_of(path)
            table.note_failure(slide_id, path, outcome.error, outcome.trace)
        for features in outcome.result or []:
            features.save(folder / f"{features.slide_id}.h5")
            facts = {"path": str(path.absolute()), "patches": len(features)}
            table.note(features.slide_id, {**facts, "status": "features"})
    table.write()
    return table


def export_pickles(folder: Path) -> list[Path]:
    """Write the seed's pickles beside the features in a folder, in `pickles/`.

    Patches are named as `coverslip patches --jpeg` would name their files.

    Returns:
        The pickles.

    Raises:
        CorruptFileError: Some file of features is damaged.
    """
    written = []
    for path in sorted(folder.glob("*.h5")):
        features = Features.load(path)
        target = folder / "pickles" / f"{path.stem}.pkl"
        write_pickle_features(target, path.stem, features.features, _names(features))
        written.append(target)
    return written


def _names(features: Features) -> list[str]:
    options = features.facts.get("patching", {})
    stem = (
        f"{features.slide_id}_{options.get('mpp', 0):g}mpp_{options.get('size', 0)}px"
    )
    if features.coords is None:
        return [f"{stem}_{number}.jpg" for number in range(len(features))]
    return [f"{stem}_x{x}_y{y}.jpg" for x, y in features.coords]
