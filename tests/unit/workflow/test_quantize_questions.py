"""Questions that the explorer asks: which layer first, what a change makes stale, one image's errors; and notices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_numpy import IMAGES, Small

import ectoolkit as ect
from ectoolkit._notices import hearing, warn
from ectoolkit.errors import EctoolkitWarning, InputError, PrecisionWarning, StageError
from ectoolkit.workflow import QuantizeStage, StageEvent


@pytest.fixture(scope="module")
def flow() -> ect.Flow:
    torch.manual_seed(0)
    flow = ect.Flow(Small().eval(), calibration=IMAGES)
    flow.quantize.run()
    return flow


def test_the_worst_layer_is_that_with_the_lowest_isolated_sqnr(flow: ect.Flow) -> None:
    table = flow.quantize.table.set_index("layer").drop(index="quant")
    known = table["isolated_sqnr_db"][np.isfinite(table["isolated_sqnr_db"])]
    assert flow.quantize.worst_layer == known.idxmin()


def test_a_change_makes_its_layer_and_those_behind_stale(flow: ect.Flow) -> None:
    found = flow.quantize.outdated_by("second")
    assert list(found) == ["add", "pool", "mean", "mean_2", "head", "dequant", "second"]
    assert set(map(tuple, (columns for layer, columns in found.items() if layer != "second"))) == {
        ("cumulative_sqnr_db",)
    }
    assert found["second"] == ["cumulative_sqnr_db", "isolated_sqnr_db", "saturated_high"]
    before = flow.quantize.overview.set_index("layer")
    torch.manual_seed(0)
    changed = ect.Flow(Small().eval(), calibration=IMAGES)
    changed.quantize.run()
    changed.quantize.tune("second", clip=(-1.0, 1.0))
    after = changed.quantize.overview.set_index("layer")
    for name in ("cumulative_sqnr_db", "isolated_sqnr_db", "saturated_high"):
        moved = set(before.index[(before[name] != after[name]) & ~(before[name].isna() & after[name].isna())])
        assert "second" in moved
        assert moved <= {layer for layer, columns in found.items() if name in columns}


def test_a_table_can_be_read_while_another_thread_measures(flow: ect.Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    before = flow.quantize.table

    def revision(stage: QuantizeStage) -> tuple[int, int]:
        stage._frame = None  # as a measurement does, between two steps of who reads the table
        return stage.generation, stage._looks

    monkeypatch.setattr(QuantizeStage, "revision", property(revision))
    assert len(flow.quantize.table) == len(before)


def test_one_images_errors_stand_beside_the_table(flow: ect.Flow) -> None:
    table, errors = flow.quantize.table_by_image(1), flow.quantize.image_errors().set_index("layer")
    assert list(table.columns) == [*flow.quantize.table.columns, "image_1_sqnr_db"]
    shown = table.set_index("layer")["image_1_sqnr_db"]
    assert shown["second"] == errors.loc["second", "image_1_sqnr_db"]
    assert shown["quant"] == errors.loc["input0", "image_1_sqnr_db"]
    with pytest.raises(InputError) as error:
        flow.quantize.table_by_image(4)
    assert str(error.value) == "there is no image 4; 4 were measured, counted from 0"


def test_what_a_layer_can_have_of_its_own(flow: ect.Flow) -> None:
    found = {name: flow.quantize.own_settings(name) for name in ("quant", "second", "add", "pool")}
    assert {name: (one.is_layer, one.has_weights, one.keeps_grid) for name, one in found.items()} == {
        "quant": (False, False, False),
        "second": (True, True, False),
        "add": (True, False, False),
        "pool": (True, False, True),
    }
    assert all(one.config == ect.LayerConfig() for one in found.values())


def test_a_state_that_comes_back_warns_again() -> None:
    torch.manual_seed(0)
    flow = ect.Flow(Small().eval(), calibration=IMAGES)
    harsh = {
        "method": "percentile",
        "percentile": 60.0,
        "weights": "per_tensor",
        "weight_bits": 2,
        "activation_bits": 4,
    }
    with pytest.warns(PrecisionWarning, match="does not survive"):
        flow.quantize.run(**harsh)
    collapsed = flow.quantize.notices
    assert collapsed
    flow.quantize.tune(method="typical", weights="per_channel", weight_bits=8, activation_bits=8)
    assert flow.quantize.notices == ()
    flow.quantize.undo()
    assert flow.quantize.notices == collapsed
    flow.quantize.redo()
    assert flow.quantize.notices == ()


def test_an_undo_that_is_refused_changes_nothing() -> None:
    torch.manual_seed(0)
    flow = ect.Flow(Small().eval(), calibration=IMAGES)
    flow.quantize.run()
    flow.quantize.tune("second", clip=(-1.0, 1.0))
    with flow.quantize._running, pytest.raises(StageError, match="is running"):
        flow.quantize.undo()
    assert (flow.quantize.log, flow.quantize.can_undo) == (["second: clip=(-1.0, 1.0)"], True)
    flow.quantize.undo()
    with flow.quantize._running, pytest.raises(StageError, match="is running"):
        flow.quantize.redo()
    assert (flow.quantize.log, flow.quantize.can_redo) == ([], True)


def test_who_hears_beside_others_takes_nothing_from_them() -> None:
    with hearing() as outer, hearing(alone=False) as inner:
        warn("both", PrecisionWarning)
    assert [str(one) for one in outer] == [str(one) for one in inner] == ["both"]
    with hearing() as outer, hearing() as inner:
        warn("one", PrecisionWarning)
    assert ([str(one) for one in outer], [str(one) for one in inner]) == ([], ["one"])
    with hearing(alone=False) as heard, pytest.warns(PrecisionWarning, match="^out$") as seen:
        warn("out", PrecisionWarning)
    assert [str(one) for one in heard] == ["out"]
    assert seen[0].filename == __file__


def test_a_listener_that_fails_is_among_the_notices_and_breaks_nothing(flow: ect.Flow) -> None:
    def fail(event: StageEvent) -> None:
        if event.kind == "progress":
            raise KeyError("nothing")

    stop = flow.interpret.observe(fail)
    with pytest.warns(EctoolkitWarning, match="a listener of Reference failed: KeyError"):
        flow.interpret.run(IMAGES[:1])
    stop()
    assert set(flow.interpret.notices) == {"a listener of Reference failed: KeyError('nothing')"}
    flow.interpret.run(IMAGES[:1])
    assert flow.interpret.notices == ()
