"""coverslip: slides and labels in, a judged DMIA-MIL classifier and its evidence out.

The public names below are loaded when first used, so that `import coverslip` is quick
and loads no torch. Stages work on one slide, verbs on many:

    with coverslip.open_slide("slide.svs") as slide:
        tissue = coverslip.find_tissue(slide)
        patches = coverslip.lay_patches(slide, tissue)

    preparation = coverslip.Preparation(Path("study"))
    coverslip.run([Path("slides")], Path("labels.csv"), preparation)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from coverslip.version import __version__ as __version__

if TYPE_CHECKING:
    from coverslip.judge.detections import FrocOptions as FrocOptions
    from coverslip.learn.checkpoint import load_model as load_model
    from coverslip.learn.labels import read_labels as read_labels
    from coverslip.learn.prediction import predict_bag as predict_bag
    from coverslip.learn.splits import SplitOptions as SplitOptions
    from coverslip.learn.train_options import TrainOptions as TrainOptions
    from coverslip.pipeline.camelyon16 import camelyon16 as camelyon16
    from coverslip.pipeline.demo import demo as demo
    from coverslip.pipeline.doctor import doctor as doctor
    from coverslip.pipeline.exchange.converting import ConvertOptions as ConvertOptions
    from coverslip.pipeline.exchange.converting import convert as convert
    from coverslip.pipeline.exchange.validating import validate as validate
    from coverslip.pipeline.learn.learn_options import LearnOptions as LearnOptions
    from coverslip.pipeline.plan.planning import plan as plan
    from coverslip.pipeline.predict.localising import froc as froc
    from coverslip.pipeline.predict.truth import Truth as Truth
    from coverslip.pipeline.prepare.preparation import Preparation as Preparation
    from coverslip.pipeline.prepare.preparation import PrepareOptions as PrepareOptions
    from coverslip.pipeline.report.report_options import ReportOptions as ReportOptions
    from coverslip.pipeline.show.export_options import ExportOptions as ExportOptions
    from coverslip.pipeline.show.exporting import export as export
    from coverslip.pipeline.verbs import TrainPlan as TrainPlan
    from coverslip.pipeline.verbs import compare as compare
    from coverslip.pipeline.verbs import evaluate as evaluate
    from coverslip.pipeline.verbs import features as features
    from coverslip.pipeline.verbs import heatmap as heatmap
    from coverslip.pipeline.verbs import patches as patches
    from coverslip.pipeline.verbs import predict as predict
    from coverslip.pipeline.verbs import report as report
    from coverslip.pipeline.verbs import run as run
    from coverslip.pipeline.verbs import tissue as tissue
    from coverslip.pipeline.verbs import train as train
    from coverslip.prepare.annotations import read_annotations as read_annotations
    from coverslip.prepare.encoders.listing import encoders as encoders
    from coverslip.prepare.encoders.registry import load_encoder as load_encoder
    from coverslip.prepare.feature_options import FeatureOptions as FeatureOptions
    from coverslip.prepare.features import Features as Features
    from coverslip.prepare.features import extract_features as extract_features
    from coverslip.prepare.patches import PatchOptions as PatchOptions
    from coverslip.prepare.patches import lay_patches as lay_patches
    from coverslip.prepare.segmentation import TissueOptions as TissueOptions
    from coverslip.prepare.tissue import find_tissue as find_tissue
    from coverslip.slides.finding import Scales as Scales
    from coverslip.slides.finding import find_slides as find_slides
    from coverslip.slides.finding import open_slide as open_slide
    from coverslip.viewer.view_options import ViewOptions as ViewOptions
    from coverslip.viewer.viewing import view as view


_HOME = {
    "coverslip.learn.checkpoint": ["load_model"],
    "coverslip.learn.labels": ["read_labels"],
    "coverslip.learn.prediction": ["predict_bag"],
    "coverslip.learn.splits": ["SplitOptions"],
    "coverslip.learn.train_options": ["TrainOptions"],
    "coverslip.pipeline.camelyon16": ["camelyon16"],
    "coverslip.pipeline.exchange.converting": ["ConvertOptions", "convert"],
    "coverslip.pipeline.demo": ["demo"],
    "coverslip.pipeline.doctor": ["doctor"],
    "coverslip.pipeline.show.export_options": ["ExportOptions"],
    "coverslip.pipeline.show.exporting": ["export"],
    "coverslip.pipeline.learn.learn_options": ["LearnOptions"],
    "coverslip.judge.detections": ["FrocOptions"],
    "coverslip.pipeline.predict.localising": ["froc"],
    "coverslip.pipeline.plan.planning": ["plan"],
    "coverslip.pipeline.prepare.preparation": ["Preparation", "PrepareOptions"],
    "coverslip.pipeline.report.report_options": ["ReportOptions"],
    "coverslip.pipeline.verbs": [
        "TrainPlan",
        "compare",
        "evaluate",
        "features",
        "heatmap",
        "patches",
        "predict",
        "report",
        "run",
        "tissue",
        "train",
    ],
    "coverslip.pipeline.predict.truth": ["Truth"],
    "coverslip.pipeline.exchange.validating": ["validate"],
    "coverslip.prepare.annotations": ["read_annotations"],
    "coverslip.prepare.encoders.listing": ["encoders"],
    "coverslip.prepare.encoders.registry": ["load_encoder"],
    "coverslip.prepare.features": ["FeatureOptions", "Features", "extract_features"],
    "coverslip.prepare.patches": ["PatchOptions", "lay_patches"],
    "coverslip.prepare.segmentation": ["TissueOptions"],
    "coverslip.prepare.tissue": ["find_tissue"],
    "coverslip.slides.finding": ["Scales", "find_slides", "open_slide"],
    "coverslip.viewer.view_options": ["ViewOptions"],
    "coverslip.viewer.viewing": ["view"],
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]  # noqa: PLE0604 - all are strings


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'coverslip' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
