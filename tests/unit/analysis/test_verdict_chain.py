"""The chain stops at the first broken link, proves what went in, and writes a certificate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ectoolkit.analysis.verdict import (
    InputFacts,
    InputProof,
    Location,
    Member,
    Must,
    Verdict,
    explain_input,
    facts_of,
    judge,
)
from ectoolkit.core.arithmetic import quantize
from ectoolkit.core.types import Layout, QuantParams
from ectoolkit.data.preprocess import IMAGENET
from ectoolkit.errors import BuildError, InputError

SCORES = np.array([[1.0, 3.0, 2.0], [0.5, 0.25, 4.0]], np.float32)
IMAGES = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)


def same_input() -> InputProof:
    return InputProof((*facts_of("images", ["x"], [IMAGES]), *facts_of("device", ["x"], [IMAGES])))


def never() -> list[np.ndarray]:
    raise AssertionError("nobody behind a broken link may run")


def test_every_link_holds() -> None:
    members = [
        Member("float", lambda: [SCORES]),
        Member("interpreter", lambda: [SCORES + np.float32(0.25)], Must.CLOSE),
        Member("cpu", lambda: [SCORES + np.float32(0.25)]),
    ]
    found = judge(members, same_input(), 2)
    assert found
    assert found.broken is None
    assert str(found) == found.summary()  # what `print` shows is the ladder
    assert repr(found) == "Verdict(2 link(s), holds)"
    assert found.summary().splitlines() == [
        "input: ✓ the same numbers at every stage",
        "✓ float → interpreter: must be close; 19.1 dB, top-1 agrees on 2 of 2",
        "✓ interpreter → cpu: must be equal; 6 elements equal",
        "Every link holds on 2 images",
    ]
    assert list(found.to_frame()["ok"]) == [True, True]


def close(found: np.ndarray, expected: np.ndarray = SCORES, **more: float) -> Verdict:
    members = [Member("float", lambda: [expected]), Member("interpreter", lambda: [found], Must.CLOSE)]
    return judge(members, same_input(), len(expected), **more)


FOUR = np.tile(np.array([[10, 12, 9]], np.float32), (4, 1))
TURNED = FOUR[:, [1, 0, 2]]


@pytest.mark.parametrize(
    ("found", "expected", "grade", "standing", "line"),
    [
        (
            SCORES * np.float32(1.5),
            SCORES,
            "far",
            "far",
            "! float → interpreter: must be close; 6.0 dB, top-1 agrees on 2 of 2: far, for close is 10 dB or more "
            "with top-1 on 90%",
        ),
        (
            (SCORES * np.float32(1.5))[..., None],
            SCORES[..., None],
            "far",
            "far",
            "! float → interpreter: must be close; 6.0 dB: far, for close is 10 dB or more",
        ),
        (
            TURNED,
            FOUR,
            "collapsed",
            "collapsed",
            "! float → interpreter: must be close; 16.1 dB, top-1 agrees on 0 of 4: collapsed, for close is 10 dB or "
            "more with top-1 on 90%",
        ),
        (
            -SCORES,
            SCORES,
            "collapsed",
            "broken",
            "✗ float → interpreter: must be close; -6.0 dB, top-1 agrees on 0 of 2: collapsed, for close is 10 dB or "
            "more with top-1 on 90%",
        ),
    ],
)
def test_links_that_hold_and_are_not_close_are_marked(
    found: np.ndarray, expected: np.ndarray, grade: str, standing: str, line: str
) -> None:
    verdict = close(found, expected)
    assert verdict.summary().splitlines()[1] == line
    assert list(verdict.to_frame()["grade"]) == [grade]
    assert verdict.rungs[1].standing == standing
    assert bool(verdict) is (standing != "broken")


def test_close_is_what_the_caller_asks_for_where_that_is_more() -> None:
    line = close(SCORES * np.float32(1.25), least_sqnr_db=20).summary().splitlines()[1]
    assert line == (
        "✗ float → interpreter: must be close; 12.0 dB, top-1 agrees on 2 of 2: collapsed, for close is 20 dB or more "
        "with top-1 on 90%"
    )


def test_it_stops_at_the_first_broken_link_and_says_where() -> None:
    wrong = SCORES.copy()
    wrong[1, 2] = 5
    where = Location("fc", "linear", (1, 2), 9, 8, 1, 6, {1: 1})
    members = [
        Member("interpreter", lambda: [SCORES]),
        Member("xrt:0", lambda: [wrong], locate=lambda: where),
        Member("cpu", never),
    ]
    found = judge(members, same_input(), 2, names=["scores"])
    assert not found
    assert found.broken is not None
    assert found.broken.name == "interpreter → xrt:0"
    assert found.location is where
    assert found.summary().splitlines() == [
        "input: ✓ the same numbers at every stage",
        "✗ interpreter → xrt:0: must be equal; first difference: scores[1, 2] is 5.0, expected 4.0 (1 of 6 differ)",
        "fc (linear) is the first layer that differs: 1 of 6 elements, first at (1, 2): 9, expected 8",
        "This usually means: the board got other bytes or computes something else: first the input proof, then a "
        "missed sync, the xclbin's build, and the board's memory",
    ]


def test_other_numbers_at_the_input_end_it_at_once() -> None:
    proof = InputProof((*facts_of("images", ["x"], [IMAGES]), *facts_of("board", ["x"], [IMAGES * 2])))
    found = judge([Member("interpreter", never), Member("cpu", never)], proof, 2)
    assert not found
    assert found.broken is None
    low, high = IMAGES.min(), IMAGES.max()
    assert found.summary() == (
        f"input: ✗ board takes other numbers as x than images: float32 from {2 * low:.4g} to {2 * high:.4g}, expected "
        f"float32 from {low:.4g} to {high:.4g}"
    )


def test_the_layout_does_not_matter_to_the_proof() -> None:
    nhwc = np.ascontiguousarray(IMAGES.transpose(0, 2, 3, 1))
    proof = InputProof((*facts_of("images", ["x"], [IMAGES]), InputFacts.of("deploy", "x", nhwc, Layout.NHWC)))
    assert proof
    assert list(proof.to_frame()["shape"]) == ["2×3×4×4", "2×4×4×3"]
    wrong = InputFacts.of("deploy", "x", IMAGES.reshape(2, 4, 4, 3), Layout.NHWC)
    assert not InputProof((*proof.facts[:1], wrong))


def test_a_part_that_does_not_build() -> None:
    """The link is broken all the same; only where it begins is not known."""

    def locate() -> Location | None:
        raise BuildError("a concatenation is an output")

    members = [Member("interpreter", lambda: [SCORES]), Member("board", lambda: [SCORES + 1], locate=locate)]
    found = judge(members, same_input(), 2)
    assert found.broken is not None
    assert found.location is None
    assert found.summary().splitlines()[2] == "Where it begins could not be searched: a concatenation is an output"


def test_a_chain_of_one_is_refused() -> None:
    with pytest.raises(InputError, match=r"^a chain needs at least two members, got \['cpu'\]$"):
        judge([Member("cpu", never)], same_input(), 1)


def test_the_title_of_a_certificate_says_what_is_not_close(tmp_path: Path) -> None:
    page = close(SCORES * np.float32(1.5)).save(tmp_path / "verdict.html").read_text(encoding="utf-8")
    assert "<h1>Verdict: every link holds on 2 images, but float → interpreter is far</h1>" in page
    assert '<div class="verdict doubtful">' in page
    page = close(-SCORES).save(tmp_path / "verdict.html").read_text(encoding="utf-8")
    assert "<h1>Verdict: broken at float → interpreter</h1>" in page
    assert '<div class="verdict broken">' in page


def test_certificates(tmp_path: Path) -> None:
    members = [Member("interpreter", lambda: [SCORES]), Member("<cpu>", lambda: [SCORES])]
    found = judge(members, same_input(), 2, facts={"graph sha256": "ab" * 32})
    page = found.save(tmp_path / "verdict.html").read_text(encoding="utf-8")
    assert "every link holds" in page
    assert "&lt;cpu&gt;" in page
    assert "<cpu>" not in page
    long = judge(members, same_input(), 2, facts={"model": f"<cpu>{'x' * 59}"})  # as long as a hash
    assert "<cpu>" not in long.save(tmp_path / "long.html").read_text(encoding="utf-8")
    data = json.loads(found.save(tmp_path / "verdict.json").read_text(encoding="utf-8"))
    assert (data["holds"], data["images"], data["facts"]) == (True, 2, {"graph sha256": "ab" * 32})
    assert data["links"][0]["sqnr_db"] == "inf"
    with pytest.raises(InputError, match=r"^verdict\.pdf ends in '\.pdf'; a verdict is saved as \.html or \.json$"):
        found.save(tmp_path / "verdict.pdf")


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda x: x.transpose(0, 2, 3, 1).reshape(x.shape), "the input's NHWC bytes were read as NCHW"),
        (lambda x: x[:, ::-1], "the input's channels were reversed (RGB and BGR)"),
        (lambda x: (x - MEAN) / STD, "the input was normalized a second time"),
        (lambda x: x * STD + MEAN, "the input was not normalized"),
        (lambda x: x + np.float32(0.3), ""),
    ],
)
def test_what_was_done_to_an_input_is_named(mistake: object, words: str) -> None:
    grid = QuantParams.uint8(0.03, 120)
    codes = quantize(mistake(IMAGES).astype(np.float32), grid.scalar, grid.zero_point)  # type: ignore[operator]
    assert explain_input(IMAGES, grid, codes, IMAGENET) == words


MEAN, STD = (np.array(v, np.float32)[:, None, None] for v in (IMAGENET.mean, IMAGENET.std))
