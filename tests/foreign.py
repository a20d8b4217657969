"""Folders as other programs write them, in their types and with their attributes."""

import pickle
from pathlib import Path

import h5py
import numpy as np

FOREIGN = ("trident", "clam", "stamp", "torchmil", "pickles")
IDS = ("a", "b")


def bag(seed, n=5, dim=6):
    """Return float32 features that float16 cannot hold, and level-0 corners."""
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(n, dim)).astype(np.float32),
        rng.permutation(40)[: 2 * n].reshape(n, 2).astype(np.int64) * 506,
    )


def write_foreign(folder: Path, kind: str) -> Path:
    """Write two slides as a program would."""
    for seed, slide_id in enumerate(IDS):
        WRITERS[kind](folder, slide_id, *bag(seed))
    return folder


def h5(path, arrays, attributes=(), root=()):
    """Write an HDF5 file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        for name, told in dict(attributes).items():
            for key, value in told.items():
                file[name].attrs[key] = value
        for key, value in dict(root).items():
            file.attrs[key] = value


def trident(folder, slide_id, features, coords):
    """Write what TRIDENT's `coords_to_h5` and `save_h5` do."""
    job = folder / "20x_256px_0px_overlap"
    laid = {
        "patch_size": 256,
        "patch_size_level0": 512,
        "level0_magnification": 40,
        "target_magnification": 20,
        "overlap": 0,
        "name": slide_id,
        "savetodir": "/job/20x_256px_0px_overlap",
        "level0_width": 40_000,
        "level0_height": 30_000,
    }
    about = {"name": slide_id, "savetodir": "/job/f", "encoder": "uni_v1"}
    h5(
        job / "features_uni_v1" / f"{slide_id}.h5",
        {"features": features, "coords": coords},
        {"features": about, "coords": laid},
    )
    patches = job / "patches" / f"{slide_id}_patches.h5"
    h5(patches, {"coords": coords}, {"coords": laid})
    contours = folder / "contours_geojson" / f"{slide_id}.geojson"
    contours.parent.mkdir(exist_ok=True)
    contours.write_text('{"type": "FeatureCollection", "features": []}')


def clam(folder, slide_id, features, coords):
    """Write what CLAM's `create_patches_fp.py` and `extract_features_fp.py` do."""
    import torch

    laid = {
        "patch_size": 256,
        "patch_level": 1,
        "downsample": (2.0004, 2.0004),
        "downsampled_level_dim": (20_000, 15_000),
        "level_dim": (20_000, 15_000),
        "name": slide_id,
        "save_path": "/job/patches",
    }
    patches = folder / "patches" / f"{slide_id}.h5"
    h5(patches, {"coords": coords}, {"coords": laid})
    both = {"features": features, "coords": coords.astype(np.int32)}
    h5(folder / "h5_files" / f"{slide_id}.h5", both)
    (folder / "pt_files").mkdir(exist_ok=True)
    with (folder / "pt_files" / f"{slide_id}.pt").open("wb") as file:
        torch.save(torch.from_numpy(features), file)


def stamp(folder, slide_id, features, coords):
    """Write what STAMP's `preprocess` does; its corners lie between pixels."""
    root = {
        "stamp_version": "2.5.0",
        "extractor": "ctranspath",
        "unit": "um",
        "tile_size_um": 256.0,
        "tile_size_px": 224,
        "code_hash": "0a1b2c3d",
        "feat_type": "tile",
    }
    h5(
        folder / "ctranspath-0a1b2c3d" / f"{slide_id}.h5",
        {
            "feats": features.astype(np.float16),
            "coords": (coords * 0.2527 + 0.07).astype(np.float32),
        },
        root=root,
    )


def torchmil(folder, slide_id, features, coords):
    """Write arrays as torchmil's data sets hold them."""
    arrays = {
        "features": features,
        "coords": coords.astype(np.int32),
        "patch_labels": np.arange(len(features)) % 2,
        "labels": np.array([int(slide_id == "b")]),
    }
    for name, array in arrays.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        np.save(folder / name / f"{slide_id}.npy", array)


def pickles(folder, slide_id, features, coords):
    """Write the seed's pickle of one slide."""
    names = [f"{slide_id}_0.5mpp_256px_x{x}_y{y}.jpg" for x, y in coords]
    listing = [
        {"feature": row, "file_name": name}
        for row, name in zip(features, names, strict=True)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{slide_id}.pkl"
    path.write_bytes(pickle.dumps({slide_id: listing}, protocol=4))


WRITERS = {
    "trident": trident,
    "clam": clam,
    "stamp": stamp,
    "torchmil": torchmil,
    "pickles": pickles,
}
