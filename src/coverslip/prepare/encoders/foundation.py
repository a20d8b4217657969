"""Foundation models of pathology: cards, and how to build each (no torch here).

Facts are those of the models' own pages at the hub and of their papers, as other
programs that load them have them; a tile encoder's page says which pixels it wants.
None of the weights were at hand when this was written: the loading is tested with small
networks of the same structure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from coverslip.prepare.encoders.card import IMAGENET_MEAN, IMAGENET_STD, Card

Layout = Literal["timm", "resampled", "dinov2", "swin", "conch"]
"""How the keys of a weights file are laid out (`layouts` has a function for each)."""

Pooling = Literal["class", "class+mean", "network"]
"""The class token; it beside the mean of the patches' tokens; or the network's own."""

CC = "CC-BY-NC-ND-4.0"
OPTIMUS_MEAN = (0.707223, 0.578729, 0.703617)
OPTIMUS_STD = (0.211883, 0.230117, 0.177517)
SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}


@dataclass(frozen=True)
class Recipe:
    """How to build a network with timm and to fill it.

    Attributes:
        card: Its facts.
        network: Name of the network in timm.
        arguments: For timm; layers by name.
        pooling: What of its output is the feature.
        layout: Of the weights file.
    """

    card: Card
    network: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pooling: Pooling = "class"
    layout: Layout = "timm"


def _card(name: str, repository: str, dim: int, **facts: Any) -> Card:  # noqa: ANN401 - fields of Card
    """Return a card with what most of these networks share."""
    shared: dict[str, Any] = {
        "input_size": 224,
        "resize": facts.get("input_size", 224),
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "licence": CC,
        "mpp": (0.5,),
        "gated": True,
        "hub_files": ("pytorch_model.bin", "model.safetensors"),
        "extra": "hub",
        "int8": False,
    }
    return Card(
        name=name, dim=dim, source=f"hf-hub:{repository}", **{**shared, **facts}
    )


_OPTIMUS = {"img_size": 224, "init_values": 1e-5, "dynamic_img_size": True}
_DINOV2 = {"img_size": 224, "dynamic_img_size": True}

RECIPES: tuple[Recipe, ...] = (
    Recipe(
        _card(
            "uni",
            "MahmoodLab/UNI",
            1024,
            interpolation="bilinear",
            patch=256,
            parameters=303,
            revision="b55a5ec6cade1a39edfe6534189a9b8ca7a022f0",
        ),
        "vit_large_patch16_224",
        {"img_size": 224, "init_values": 1e-5, "dynamic_img_size": True},
    ),
    Recipe(
        _card(
            "uni2-h",
            "MahmoodLab/UNI2-h",
            1536,
            interpolation="bilinear",
            patch=256,
            parameters=681,
            revision="d517a8dd47902dd7c308b3c36f63bce47e7b9a43",
        ),
        "vit_giant_patch14_224",
        {
            "img_size": 224,
            "patch_size": 14,
            "depth": 24,
            "num_heads": 24,
            "init_values": 1e-5,
            "embed_dim": 1536,
            "mlp_ratio": 2.66667 * 2,
            "no_embed_class": True,
            "reg_tokens": 8,
            "dynamic_img_size": True,
            **SWIGLU,
        },
    ),
    Recipe(
        _card(
            "conch-v1.5",
            "MahmoodLab/TITAN",
            768,
            input_size=448,
            interpolation="bilinear",
            patch=512,
            parameters=306,
            revision="dac6773d9961cfc75503440676ff157a2c6e8d2e",
            hub_files=("conch_v1_5_pytorch_model.bin",),
            note="the patch encoder of TITAN; the repository's own code is not run",
        ),
        "vit_large_patch16_224",
        {"img_size": 448, "init_values": 1.0},
        "network",
        "conch",
    ),
    Recipe(
        _card(
            "virchow2",
            "paige-ai/Virchow2",
            2560,
            mpp=(0.5, 0.25, 1.0, 2.0),
            parameters=631,
            revision="3158645804b69e3f3bc4439d4116edddf0840a72",
            hub_files=("model.safetensors", "pytorch_model.bin"),
        ),
        "vit_huge_patch14_224",
        {
            "img_size": 224,
            "init_values": 1e-5,
            "reg_tokens": 4,
            "mlp_ratio": 5.3375,
            "dynamic_img_size": True,
            **SWIGLU,
        },
        "class+mean",
    ),
    Recipe(
        _card(
            "h-optimus-0",
            "bioptimus/H-optimus-0",
            1536,
            mean=OPTIMUS_MEAN,
            std=OPTIMUS_STD,
            licence="Apache-2.0",
            parameters=1135,
            revision="b145cc1e6c6b30d3251aa8b1f844e6974188a743",
        ),
        "vit_giant_patch14_reg4_dinov2",
        _OPTIMUS,
    ),
    Recipe(
        _card(
            "h-optimus-1",
            "bioptimus/H-optimus-1",
            1536,
            mean=OPTIMUS_MEAN,
            std=OPTIMUS_STD,
            parameters=1135,
            revision="3592cb220dec7a150c5d7813fb56e68bd57473b9",
        ),
        "vit_giant_patch14_reg4_dinov2",
        _OPTIMUS,
    ),
    Recipe(
        _card(
            "prov-gigapath",
            "prov-gigapath/prov-gigapath",
            1536,
            resize=256,
            licence="Apache-2.0",
            parameters=1135,
            revision="eba85dd46097c3eedfcc2a3a9a930baecb6bcc19",
            note="its page rules out any deployed use, whatever the licence; of 256 "
            "pixels the 224 in the middle are seen",
        ),
        "vit_giant_patch14_dinov2",
        {
            "img_size": 224,
            "patch_size": 16,
            "embed_dim": 1536,
            "depth": 40,
            "num_heads": 24,
            "init_values": 1e-5,
            "mlp_ratio": 5.33334,
            "dynamic_img_size": True,
        },
    ),
    Recipe(
        _card(
            "phikon-v2",
            "owkin/phikon-v2",
            1024,
            licence="Owkin non-commercial",
            gated=False,
            parameters=303,
            revision="2ae989a9c40cffaa27f0a6cb29cc94d1d6f9a5fd",
            hub_files=("model.safetensors", "pytorch_model.bin"),
        ),
        "vit_large_patch16_224",
        {"img_size": 224, "init_values": 1.0, "dynamic_img_size": True},
        layout="dinov2",
    ),
    Recipe(
        _card(
            "ctranspath",
            "1aurent/swin_tiny_patch4_window7_224.CTransPath",
            768,
            licence="GPL-3.0",
            gated=False,
            mpp=(1.0, 0.5),
            parameters=27.5,
            revision="59c740e4ed91dda4ebe094b64e4cd2e015c31810",
            hub_files=("model.safetensors",),
            note="a copy of the authors' weights; their own ctranspath.pth is read too; "
            "trained at 0.5, and they advise 1.0 um per pixel",
        ),
        "swin_tiny_patch4_window7_224",
        {"embed_layer": "ConvStem"},
        "network",
        "swin",
    ),
    Recipe(
        _card(
            "dinov2-vits14",
            "timm/vit_small_patch14_dinov2.lvd142m",
            384,
            licence="Apache-2.0",
            gated=False,
            mpp=(),
            parameters=21.6,
            hub_files=("model.safetensors", "pytorch_model.bin"),
            note="photographs, not tissue: a yardstick, and the smallest here",
        ),
        "vit_small_patch14_dinov2",
        _DINOV2,
        layout="resampled",
    ),
    Recipe(
        _card(
            "dinov2-vitl14",
            "timm/vit_large_patch14_dinov2.lvd142m",
            1024,
            licence="Apache-2.0",
            gated=False,
            mpp=(),
            parameters=303,
            revision="4741e1cafbf45415e77074bb0cb42dba76c8684a",
            hub_files=("model.safetensors", "pytorch_model.bin"),
            note="photographs, not tissue: a yardstick",
        ),
        "vit_large_patch14_dinov2",
        _DINOV2,
        layout="resampled",
    ),
)
"""Every one of them, in the order they are listed."""
