"""Runs in the Python of the other programs: each reads a folder, or writes one.

    python in_peer.py read_clam FOLDER [SLIDES]

prints, as JSON, what that program's own reader made of it. Nothing of coverslip is
imported here, and nothing of the others is kept here: only their functions are called.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import h5py
import numpy as np
import torch

SIX = 6


class Colours(torch.nn.Module):
    """Mean and deviation of each colour: an encoder that needs no weights."""

    def forward(self, x):
        """Return (B, 6)."""
        return torch.cat([x.mean((2, 3)), x.std((2, 3))], dim=1)


def to_tensor(image):
    """Turn a picture into numbers."""
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1) / 255.0


def told(features, coords=None):
    """Return what can be compared: a digest of the features, and coordinates."""
    wide = np.ascontiguousarray(np.asarray(features), "<f4")
    return {
        "features": hashlib.sha256(wide.tobytes()).hexdigest(),
        "shape": list(wide.shape),
        "dtype": str(np.asarray(features).dtype),
        "coords": None if coords is None else np.asarray(coords).tolist(),
    }


def read_clam(folder, slides):
    """CLAM's data set reads labels, splits, .pt and .h5; its patch reader cuts tiles."""
    import openslide
    import pandas as pd
    from dataset_modules.dataset_generic import Generic_MIL_Dataset
    from dataset_modules.dataset_h5 import Whole_Slide_Bag_FP

    names = sorted(set(pd.read_csv(folder / "dataset.csv", dtype=str)["label"]))
    data = Generic_MIL_Dataset(
        data_dir=str(folder),
        csv_path=str(folder / "dataset.csv"),
        label_dict={name: number for number, name in enumerate(names)},
        print_info=False,
    )
    parts = data.return_splits(
        from_id=False, csv_path=str(folder / "splits/splits_0.csv")
    )
    answer = {"slides": {}, "splits": {}}
    for subset, part in zip(("train", "val", "test"), parts, strict=True):
        answer["splits"][subset] = sorted(part.slide_data["slide_id"])
        for number in range(len(part)):
            part.load_from_h5(False)
            features, label = part[number]
            part.load_from_h5(True)
            again, _, coords = part[number]
            assert torch.equal(features, again)
            slide_id = part.slide_data["slide_id"][number]
            answer["slides"][slide_id] = {**told(features, coords), "label": int(label)}
    for slide_id, one in answer["slides"].items():
        opened = openslide.open_slide(str(slides / f"{slide_id}.tif"))
        cut = Whole_Slide_Bag_FP(
            str(folder / "patches" / f"{slide_id}.h5"), opened, to_tensor
        )
        one["cut"] = told(
            Colours()(torch.stack([cut[i]["img"] for i in range(len(cut))]))
        )
    return answer


def write_clam(folder, slides):
    """CLAM segments, patches, extracts features and splits."""
    import openslide

    sys.argv = ["extract_features_fp.py"]
    import extract_features_fp as extracting
    import pandas as pd
    from dataset_modules.dataset_generic import (
        Generic_WSI_Classification_Dataset,
        save_splits,
    )
    from wsi_core.WholeSlideImage import WholeSlideImage

    for name in ("patches", "h5_files", "pt_files", "splits"):
        (folder / name).mkdir(parents=True)
    filters = {"a_t": 0, "a_h": 1, "max_n_holes": 8}
    ids = sorted(path.stem for path in slides.glob("*.tif"))
    for slide_id in ids:
        slide = WholeSlideImage(str(slides / f"{slide_id}.tif"))
        slide.segmentTissue(seg_level=0, use_otsu=True, filter_params=filters)
        patches = folder / "patches"
        slide.process_contours(
            str(patches), patch_level=0, patch_size=128, step_size=128
        )
        cut = extracting.Whole_Slide_Bag_FP(
            str(patches / f"{slide_id}.h5"),
            openslide.open_slide(str(slides / f"{slide_id}.tif")),
            to_tensor,
        )
        loader = torch.utils.data.DataLoader(cut, batch_size=4)
        path = folder / "h5_files" / f"{slide_id}.h5"
        extracting.compute_w_loader(str(path), loader, Colours())
        with h5py.File(path) as file:
            features = torch.from_numpy(file["features"][:])
        torch.save(features, str(folder / "pt_files" / f"{slide_id}.pt"))
    labels = [int(slide_id[-1]) % 2 for slide_id in ids]
    table = {"case_id": ids, "slide_id": ids, "label": [f"class_{k}" for k in labels]}
    pd.DataFrame(table).to_csv(folder / "dataset.csv", index=False)
    data = Generic_WSI_Classification_Dataset(
        csv_path=str(folder / "dataset.csv"),
        label_dict={"class_0": 0, "class_1": 1},
        patient_strat=True,
        print_info=False,
    )
    data.create_splits(k=2, val_num=(1, 1), test_num=(1, 1))
    splits = {}
    for number in range(2):
        data.set_splits()
        parts = data.return_splits(from_id=True)
        path = str(folder / "splits" / f"splits_{number}.csv")
        save_splits(parts, ["train", "val", "test"], path)
        splits[number] = [sorted(part.slide_data["slide_id"]) for part in parts]
    return {"slides": h5_files(folder / "h5_files", "features"), "splits": splits}


def h5_files(folder, name):
    """Return what the files of a folder hold."""
    answer = {}
    for path in sorted(folder.glob("*.h5")):
        with h5py.File(path) as file:
            answer[path.stem] = told(file[name][:], file["coords"][:])
    return answer


def read_trident(folder, slides):
    """TRIDENT reads our coordinates, and makes features of its own from them."""
    from trident import load_wsi
    from trident.IO import read_coords

    answer = {"slides": {}}
    for path in sorted(folder.glob("*_overlap/features_*/*.h5")):
        attributes, coords = read_coords(str(path))
        with h5py.File(path) as file:
            one = told(file["features"][:], coords)
            one["encoder"] = file["features"].attrs["encoder"]
        patches = path.parents[1] / "patches" / f"{path.stem}_patches.h5"
        made = folder / "made_by_trident"
        with load_wsi(str(slides / f"{path.stem}.tif"), lazy_init=False) as slide:
            slide.extract_patch_features(
                encoder_of_trident(), str(patches), str(made), device="cpu"
            )
        _, again = read_coords(str(patches))
        assert again.tolist() == coords.tolist()
        one["cut"] = h5_files(made, "features")[path.stem]["features"]
        one["attributes"] = sorted(attributes)
        answer["slides"][path.stem] = one
    return answer


def encoder_of_trident():
    """Return the colours as an encoder of TRIDENT."""
    from trident.patch_encoder_models.load import CustomInferenceEncoder

    return CustomInferenceEncoder("colours", Colours(), to_tensor, torch.float32)


def write_trident(folder, slides):
    """TRIDENT segments, patches and extracts features."""
    from trident import load_wsi
    from trident.segmentation_models import segmentation_model_factory

    segmenting = segmentation_model_factory("otsu")
    where = folder / "20x_128px_0px_overlap"
    for path in sorted(slides.glob("*.tif")):
        with load_wsi(slide_path=str(path), lazy_init=False) as slide:
            slide.segment_tissue(
                segmenting, segmenting.target_mag, job_dir=str(folder), device="cpu"
            )
            coords = slide.extract_tissue_coords(20, 128, str(where))
            slide.extract_patch_features(
                encoder_of_trident(), coords, str(where / "features_colours"), "cpu"
            )
    return {"slides": h5_files(where / "features_colours", "features")}


def read_stamp(folder, _):
    """STAMP finds patients and slides by its tables, and reads bags and micrometres."""
    from stamp.modeling.data import BagDataset, get_coords, load_patient_data_

    where = next(path for path in folder.iterdir() if path.is_dir())
    patients, kind = load_patient_data_(
        feature_dir=where,
        clini_table=folder / "clini.csv",
        slide_table=folder / "slide.csv",
        task="classification",
        ground_truth_label="label",
        time_label=None,
        status_label=None,
        patient_label="PATIENT",
        filename_label="FILENAME",
    )
    answer = {"slides": {}, "kind": kind}
    for patient in patients.values():
        for path in patient.feature_files:
            bags = BagDataset(
                bags=[[path]], ground_truths=torch.zeros(1, 1), transform=None
            )
            features, coords, size, _ = bags[0]
            assert size == len(features)
            with h5py.File(path) as file:
                info = get_coords(file)
            one = told(features, coords)
            one |= {"tile_um": float(info.tile_size_um), "tile_px": info.tile_size_px}
            answer["slides"][path.stem] = {**one, "label": patient.ground_truth}
    return answer


def write_stamp(folder, slides):
    """STAMP tiles slides and extracts features."""
    from stamp.preprocessing import extract_
    from stamp.preprocessing.extractor import Extractor

    extract_(
        wsi_dir=slides,
        output_dir=folder,
        wsi_list=None,
        cache_dir=None,
        cache_tiles_ext="jpg",
        extractor=Extractor(model=Colours(), transform=to_tensor, identifier="colours"),
        tile_size_px=64,
        tile_size_um=50.3,
        max_workers=1,
        device="cpu",
        default_slide_mpp=None,
        brightness_cutoff=240,
        canny_cutoff=1e-5,
        generate_hash=True,
    )
    where = next(path for path in folder.iterdir() if path.is_dir())
    return {"slides": h5_files(where, "feats")}


def read_torchmil(folder, _):
    """Torchmil's data set reads the arrays, joins neighbours, and a model takes a batch."""
    from torchmil.data import collate_fn
    from torchmil.datasets import ProcessedMILDataset
    from torchmil.models import ABMIL

    data = ProcessedMILDataset(
        features_path=str(folder / "features"),
        labels_path=str(folder / "labels"),
        coords_path=str(folder / "coords"),
        bag_keys=["X", "Y", "adj", "coords"],
        dist_thr=float(os.environ["DIST"]),
    )
    answer = {"slides": {}}
    for number, name in enumerate(data.get_bag_names()):
        bag = data[number]
        one = told(bag["X"], bag["coords"])
        one["neighbours"] = int(bag["adj"].coalesce().values().numel())
        answer["slides"][name] = {**one, "label": int(bag["Y"])}
    loader = torch.utils.data.DataLoader(data, batch_size=3, collate_fn=collate_fn)
    batch = next(iter(loader))
    scores = ABMIL(in_shape=(SIX,))(batch["X"], batch["mask"])
    answer["scores"] = list(scores.shape)
    return answer


def read_torchmil_trident(folder, _):
    """Torchmil's reader of TRIDENT's folders reads ours."""
    from torchmil.datasets import TridentWSIDataset

    where = next(folder.glob("*_overlap"))
    features = next(where.glob("features_*"))
    data = TridentWSIDataset(
        base_path=f"{where}/",
        labels_path=str(folder / "labels.csv"),
        feature_extractor=features.name.removeprefix("features_"),
        bag_keys=["X", "coords"],
        patch_size=1,
        wsi_name_col="slide_id",
        wsi_label_col="label",
    )
    names = data.get_bag_names()
    return {
        "slides": {
            name: told(data[i]["X"], data[i]["coords"]) for i, name in enumerate(names)
        }
    }


if __name__ == "__main__":
    action, *places = sys.argv[1:]
    result = globals()[action](*map(Path, places))
    print("ANSWER" + json.dumps(result))  # noqa: T201 - what is asked for
