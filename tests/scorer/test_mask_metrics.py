"""Conventions of masks and boxes where other implementations differ."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scorer
from scorer.metrics import METRICS
from scorer.metrics.masks import iou_thresholds
from tests.scorer.metric_cases.boxes import images, with_certainty

MASKS = ["mask_fbeta", "dice", "jaccard", "mask_iou_ap"]


def measure(name: str, truth: list[str], predicted: list[str], **params: object) -> float:
    ids = [f"r{i}" for i in range(len(truth))]
    size = {"height": 100, "width": 100} if name in MASKS else {}
    solution = pd.DataFrame({"id": ids, "y": truth, **size})
    return scorer.measure(name, solution, pd.DataFrame({"id": ids, "y": predicted}), **params)


def refusal(name: str, truth: list[str], predicted: list[str], **params: object) -> scorer.Problem:
    with pytest.raises(scorer.InvalidSubmission) as refused:
        measure(name, truth, predicted, **params)
    [problem] = refused.value.problems
    return problem


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("empty", ["", "-", "-1", "1 0"])
def test_two_empty_masks_are_alike_however_they_are_written(name: str, empty: str) -> None:
    assert measure(name, ["", "-", "1 9"], [empty, empty, "1 9"]) == 1.0
    assert measure(name, ["", "1 9"], ["1 9", empty]) == 0.0


def test_rows_with_two_empty_masks_can_be_left_out() -> None:
    # edge/dice/both_empty: HuBMAP counts them as 1, UW-Madison takes the mean of the others.
    truth, predicted = ["", "1 4"], ["", "3 4"]
    assert measure("mask_fbeta", truth, predicted, both_empty=1.0) == 0.75
    assert measure("mask_fbeta", truth, predicted, both_empty=0) == 0.25
    assert measure("mask_fbeta", truth, predicted, both_empty="skip") == 0.5
    assert measure("mask_fbeta", ["", ""], ["", ""], both_empty="skip") == 1.0


def test_synonyms_of_the_order_of_pixels_have_one_digest() -> None:
    for written, meant in (("column-major", "column"), ("row-major", "row"), ("row-major, 1-based", "row")):
        assert METRICS["dice"].read_parameters({"order": written}).model_dump()["order"] == meant


def test_touching_runs_are_one_mask_and_size_costs_nothing() -> None:
    assert measure("dice", ["1 4"], ["1 2 3 2"]) == 1.0
    huge = pd.DataFrame({"id": ["a"], "y": ["5 100000000000000"]})
    assert scorer.measure("jaccard", huge, huge.assign(y="5 50000000000000")) == 0.5


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_beyond_its_image_is_refused(name: str) -> None:
    assert measure(name, ["1 4", "1 4"], ["9999 2", "1 4"]) == 0.5
    problem = refusal(name, ["1 4", "1 4"], ["1 1 9999 3", "1 4"])
    assert (problem.code, problem.id) == ("OUTSIDE_IMAGE", "r0")


@pytest.mark.parametrize("runs", ["1", "0 4", "5 2 1 2", "1 4 3 2", "1 -2", "1.5 2", "1 2 a b"])
def test_text_that_is_not_runs_is_refused(runs: str) -> None:
    assert refusal("dice", ["1 4"], [runs]).code == "BAD_FORM"


def test_an_overlap_equal_to_a_threshold_does_not_pass_for_masks_and_does_for_boxes() -> None:
    assert measure("mask_iou_ap", ["1 2"], ["1 1"], thresholds=[0.5]) == 0.0
    assert measure("mask_iou_ap", ["1 20"], ["1 13"]) == 0.3  # 0.65 exceeds 0.5, 0.55 and 0.6 only
    assert measure("detection_map", ["a 0 0 10 10"], ["a 1 0 0 10 5"], iou=0.5) == 1.0


def test_thresholds_are_the_decimals_that_were_written() -> None:
    assert iou_thresholds("0.5:0.05:0.95") == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    for wrong in ("0.5", "0.5:0:0.9", "0.9:0.1:0.5", "a:b:c", "0.5:0.1:nan", "0:0.1:0.9", "0.1:1e-9:0.9"):
        with pytest.raises(ValueError, match=r"thresholds|first:step:last|steps"):
            iou_thresholds(wrong)


@pytest.mark.parametrize("interpolation", ["voc2010", "voc2007", "coco"])
@settings(max_examples=15, deadline=None)
@given(frames=images(), threshold=st.sampled_from([0.5, [0.3, 0.95]]))
def test_true_boxes_with_any_confidence_are_perfect(
    interpolation: str, frames: tuple[pd.DataFrame, pd.DataFrame], threshold: object
) -> None:
    solution, submission = frames
    perfect = with_certainty(solution, submission)
    got = scorer.measure("detection_map", solution, perfect, interpolation=interpolation, iou=threshold)
    assert got == pytest.approx(1.0, abs=1e-12)


def test_a_true_box_is_found_once() -> None:
    assert measure("detection_map", ["a 0 0 9 9"], ["a .9 0 0 9 9 a .8 0 0 9 9"], interpolation="coco") == 1.0
    twice = measure(
        "detection_map", ["a 0 0 9 9 a 50 50 59 59"], ["a .9 0 0 9 9 a .8 0 0 9 9 a .7 50 50 59 59"]
    )
    assert twice == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_only_coco_lets_a_detection_choose_its_second_best() -> None:
    truth, predicted = ["a 0 0 10 10 a 0 3 10 13"], ["a .9 0 0 10 10 a .8 0 1 10 11"]
    assert measure("detection_map", truth, predicted) == 0.5
    assert measure("detection_map", truth, predicted, interpolation="coco") == pytest.approx(1.0)


def test_detections_of_equal_confidence_enter_the_curve_together() -> None:
    # Implementations that sort them give 1 or 0.5 here, by the order of the images.
    truth = ["a 0 0 10 10", ""]
    right, wrong = "a .5 0 0 10 10", "a .5 20 20 30 30"
    assert measure("detection_map", truth, [right, wrong]) == 0.5
    assert measure("detection_map", truth[::-1], [wrong, right]) == 0.5


def test_classes_that_no_image_has_do_not_count() -> None:
    assert measure("detection_map", ["a 0 0 9 9"], ["a .1 0 0 9 9 b .9 0 0 9 9"]) == 1.0
    with pytest.raises(scorer.InvalidChallenge):
        measure("detection_map", ["", ""], ["", ""])


@pytest.mark.parametrize(
    ("box", "box_format"), [("10 10 5 20", "xyxy"), ("10 20 20 10", "xyxy"), ("10 10 -5 20", "xywh")]
)
def test_a_box_inside_out_is_refused(box: str, box_format: str) -> None:
    problem = refusal("detection_map", ["a 0 0 9 9"], [f"a .5 {box}"], box_format=box_format)
    assert (problem.code, problem.id) == ("NOT_A_BOX", "r0")


@pytest.mark.parametrize("cell", ["a", "a .5 1 2 3", "a x 0 0 1 1", "a .5 0 0 1 nan"])
def test_text_that_is_not_boxes_is_refused(cell: str) -> None:
    assert refusal("detection_map", ["a 0 0 9 9"], [cell]).code == "BAD_FORM"
