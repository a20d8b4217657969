"""Painted slides: what is in them, and what can and cannot tell a lesion."""

import cv2
import numpy as np
import pytest
import shapely
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from coverslip.cohorts.painted.shapes import fill
from coverslip.cohorts.painted.slide import PaintedOptions, paint_slide
from coverslip.errors import OptionError

SMALL = PaintedOptions(size=1024)
PATCH = 256


def _paint(seed, options=SMALL, *, lesions=True):
    return paint_slide(np.random.default_rng(seed), options, lesions=lesions)


def _pairs(count, size, **options):
    """Paint slides with their lesions and, the same else, without."""
    asked = PaintedOptions(size=size, lesion_share=(0.06, 0.1), **options)
    return [
        (_paint([8, i], asked), _paint([8, i], asked, lesions=False))
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def pairs():
    """Paint a few small slides with lesions and without."""
    return _pairs(6, 1024)


@pytest.fixture(scope="module")
def patches():
    """Cut patches out of the tissue of larger slides.

    Returns:
        Patches with and without lesions at the same places, whether more than half of
        a patch is lesion, and the number of its slide.
    """
    seen, bare, diseased, slides = [], [], [], []
    for number, (slide, other) in enumerate(_pairs(8, 2048)):
        size = slide.image.shape[1::-1]
        tissue = fill(slide.tissue, size) > 0
        lesion = fill(slide.lesions, size) > 0
        for y in range(0, size[1] - PATCH + 1, PATCH // 2):
            for x in range(0, size[0] - PATCH + 1, PATCH // 2):
                here = np.s_[y : y + PATCH, x : x + PATCH]
                share = lesion[here].mean()
                if tissue[here].mean() < 0.8 or 0 < share <= 0.5:
                    continue
                seen.append(slide.image[here])
                bare.append(other.image[here])
                diseased.append(share > 0.5)
                slides.append(number)
    return seen, bare, np.array(diseased), np.array(slides)


def _colour(patch):
    return np.concatenate([patch.mean(axis=(0, 1)), patch.std(axis=(0, 1))])


def _grain_sizes(patch):
    """Return how the dark matter of a patch is shared between small and large grains.

    An opening by a disk removes every dark grain that the disk does not fit into.
    """
    dark = 255 - patch[..., 0]
    left = []
    for width in (1, 7, 11, 15, 19, 25):
        disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
        left.append(cv2.morphologyEx(dark, cv2.MORPH_OPEN, disk).mean())
    return np.diff(np.log(left))


def _auc(feature, patches, diseased, slides):
    """Return the AUC of a logistic regression on slides it was not fitted to."""
    model = make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000)
    )
    scores = cross_val_predict(
        model,
        np.array([feature(patch) for patch in patches]),
        diseased,
        groups=slides,
        cv=GroupKFold(4),
        method="decision_function",
    )
    return roc_auc_score(diseased, scores)


@pytest.mark.slow
def test_colour_does_not_tell_a_lesion(patches):
    """Mean and spread of the channels separate lesions from other tissue poorly."""
    seen, _, diseased, slides = patches
    assert diseased.sum() >= 40
    assert _auc(_colour, seen, diseased, slides) < 0.7


@pytest.mark.slow
def test_a_lesion_has_the_colour_of_what_it_replaces(patches):
    """With a lesion and without, the same place has the same mean and spread."""
    seen, bare, diseased, _ = patches
    there = np.flatnonzero(diseased)
    change = [_colour(seen[i]) - _colour(bare[i]) for i in there]
    spread = np.std([_colour(patch) for patch in bare], axis=0)
    assert (np.abs(np.mean(change, axis=0)) < 0.1 * spread).all()
    assert (np.std(change, axis=0) < 0.25 * spread).all()


@pytest.mark.slow
def test_the_size_of_the_nuclei_tells_a_lesion(patches):
    """Five figures on the widths of what is dark separate lesions well."""
    seen, _, diseased, slides = patches
    assert _auc(_grain_sizes, seen, diseased, slides) > 0.9


def test_nothing_but_the_lesions_depends_on_the_label(pairs):
    """Pixels away from the lesions are the very same in a negative slide."""
    for slide, other in pairs:
        assert other.lesions == ()
        assert slide.tissue == other.tissue
        near = fill(
            tuple(p.buffer(14) for p in slide.lesions), slide.image.shape[1::-1]
        )
        changed = (slide.image != other.image).any(axis=2)
        assert changed[near > 0].mean() > 0.5
        # A fold shows its neighbourhood twice, so a lesion beside it shows there too.
        assert changed[near == 0].mean() < 0.002


def test_the_colour_of_a_slide_does_not_tell_its_label(pairs):
    """Lesions move a slide's mean and spread far less than slides differ."""
    with_, without = (
        np.array([_colour(slide.image) for slide in slides])
        for slides in zip(*pairs, strict=True)
    )
    assert (np.abs(with_ - without).max(axis=0) < 0.1 * without.std(axis=0)).all()


def test_lesions_cover_the_share_asked_for_within_the_tissue(pairs):
    """One to four simple outlines, apart from each other, clear of edge and fat."""
    for slide, _ in pairs:
        tissue = shapely.union_all(slide.tissue)
        lesions = shapely.union_all(slide.lesions)
        assert 1 <= len(slide.lesions) <= 4
        assert all(p.is_valid and not p.interiors for p in slide.lesions)
        assert 0.06 <= lesions.area / tissue.area <= 0.1
        assert lesions.area == pytest.approx(sum(p.area for p in slide.lesions))
        assert tissue.contains(lesions)


def test_a_seed_decides_the_slide():
    """The same seed gives the same pixels; another gives another slide."""
    assert (_paint(1).image == _paint(1).image).all()
    assert (_paint(1).image != _paint(2).image).mean() > 0.3


def test_the_glass_is_bright_and_the_tissue_is_dark_and_pink_or_blue():
    """Outside the outlines it is almost white; inside it is stained."""
    options = SMALL.replace(fold_share=0, ink_share=0)
    for seed in range(3):
        slide = _paint(seed, options)
        inside = fill(tuple(p.buffer(-4) for p in slide.tissue), (1024, 1024)) > 0
        outside = fill(tuple(p.buffer(4) for p in slide.tissue), (1024, 1024)) == 0
        assert slide.image[outside].min() > 215
        saturation = np.ptp(slide.image.astype(int), axis=2)
        assert np.median(saturation[inside]) > 40
        assert np.median(saturation[outside]) < 15
        red, green, blue = slide.image[inside].mean(axis=0)
        assert min(red, blue) > green


def test_folds_and_ink_come_as_often_as_asked():
    """Both darken a slide that is otherwise the same; a share of none adds none."""
    clean = _paint(5, SMALL.replace(fold_share=0, ink_share=0)).image.astype(int)
    folded = _paint(5, SMALL.replace(fold_share=1, ink_share=0)).image.astype(int)
    inked = _paint(5, SMALL.replace(fold_share=0, ink_share=1)).image.astype(int)
    assert (folded < clean - 20).any(axis=2).mean() > 0.002
    assert (inked < clean - 20).any(axis=2).mean() > 0.002


@pytest.mark.parametrize("share", [(0.05, 0.02), (0.0, 0.1), (0.5, 1.0)])
def test_a_share_that_makes_no_sense_is_refused(share):
    """The least comes first, and both lie within 0 and 1."""
    with pytest.raises(OptionError, match="lesion_share"):
        PaintedOptions(lesion_share=share)


def test_lesions_that_cannot_fit_are_refused():
    """More lesion than the tissue can hold is an error that names the option."""
    with pytest.raises(OptionError, match="lesion_share"):
        _paint(0, SMALL.replace(lesion_share=(0.9, 0.95)))
