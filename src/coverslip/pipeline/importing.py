"""Bring in and hand out the seed's pickles: features of one slide a file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coverslip.interop.pickles import read_pickle_features, write_pickle_features
from coverslip.pipeline.preparation import Preparation
from coverslip.prepare.features import Features, check_finite


def import_pickles(paths: Sequence[Path], preparation: Preparation) -> list[Path]:
    """Read pickles of the seed or of DTFD-MIL into `study/imported/features_<encoder>`.

    Returns:
        The files of features that were written.

    Raises:
        UnsafePickleError: A pickle asks for more than arrays; nothing in it was run.
        CorruptFileError: A pickle is damaged.
        DataError: It holds no features, or NaN.
    """
    encoder = preparation.options.features.encoder
    folder = preparation.imported(encoder)
    written = []
    for path in paths:
        for slide_id, slide in read_pickle_features(path).items():
            check_finite(slide.features, f"{path}, {slide_id}")
            facts = {"imported_from": path.name, "encoder": {"name": encoder}}
            features = slide.features.astype(np.float16)
            target = folder / f"{slide_id}.h5"
            Features(slide_id, features, slide.coords, facts).save(target)
            written.append(target)
    return written


def export_pickles(preparation: Preparation) -> list[Path]:
    """Write the seed's pickles beside a study's features, in `pickles/`.

    Patches are named as `coverslip patches --jpeg` would name their files.
    """
    folder = preparation.features_folder
    written = []
    for path in sorted(folder.glob("*.h5")):
        features = Features.load(path)
        target = folder / "pickles" / f"{features.slide_id}.pkl"
        write_pickle_features(
            target, features.slide_id, features.features, _names(features)
        )
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
