"""Forms: fields to settings and back."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch

import ectoolkit as ect
from ectoolkit.widgets.cards import card_of
from ectoolkit.widgets.forms import form_of


def settings(stage: Any) -> dict[str, Any]:
    return form_of(stage).call()[1]


def test_fields_begin_at_the_defaults_of_run(flow: ect.Flow) -> None:
    assert settings(flow.model) == {}
    assert settings(flow.quantize) == {"method": "typical", "weights": "per_channel", "activation_bits": 8}
    assert settings(flow.importer) == {"layout": "NHWC", "isa": "host"}
    assert settings(flow.build) == {"out": None, "target": "cpu"}
    assert settings(flow.device) == {"device": "cpu", "runs": 20}


def test_the_folder_that_a_build_without_one_takes_is_named(flow: ect.Flow) -> None:
    assert form_of(flow.build).fields["out"].placeholder == "Tiny_deploy"


def test_settings_that_no_field_has_are_kept_and_named(flow: ect.Flow) -> None:
    form = form_of(flow.quantize)
    groups = [["body.0", "body.1"]]
    form.show((), {"method": "minmax", "fuse": groups})
    assert form.call()[1] == {
        "method": "minmax",
        "weights": "per_channel",
        "activation_bits": 8,
        "fuse": groups,
    }
    assert form.note.value == "and fuse body.0 + body.1"
    form.show((), {})
    assert "fuse" not in form.call()[1]
    assert form.note.layout.display == "none"


def test_a_value_that_a_field_cannot_take_is_kept_too(flow: ect.Flow) -> None:
    form = form_of(flow.device)
    form.show(("rpc://host:9090", 3), {"images": 99})
    assert form.call()[1] == {"device": "rpc://host:9090", "runs": 3, "images": 99}
    assert form.note.value == "and images 99"
    form.show(("rpc://host:9090", 3), {})
    assert form.call()[1] == {"device": "rpc://host:9090", "runs": 3}
    assert form.note.value == ""


def test_a_number_out_of_bounds_is_kept(flow: ect.Flow) -> None:
    form = form_of(flow.device)
    form.show(("cpu", 20_000), {})
    assert form.call()[1] == {"device": "cpu", "runs": 20_000}
    assert form.note.value == "and runs 20000"
    form.show(("cpu", 20_000), {})
    assert form.note.value == "and runs 20000"
    form.fields["runs"].value = 30
    assert form.call()[1] == {"device": "cpu", "runs": 30}


def test_what_a_run_leaves_out_is_the_default(flow: ect.Flow) -> None:
    form = form_of(flow.quantize)
    form.show((), {"method": "minmax", "activation_bits": 7})
    form.show((), {"activation_bits": 7})
    assert form.call()[1] == {"method": "typical", "weights": "per_channel", "activation_bits": 7}


def test_arguments_by_position_are_shown(flow: ect.Flow) -> None:
    form = form_of(flow.build)
    form.show(("deploy",), {})
    assert form.fields["out"].value == "deploy"
    device = form_of(flow.device)
    device.show(("interpreter", 5), {})
    assert device.call()[1] == {"device": "interpreter", "runs": 5}


def test_threads_are_for_devices_that_take_them(flow: ect.Flow) -> None:
    form = form_of(flow.device)
    assert [value for _, value in form.fields["threads"].options[1:]] == [*range(1, len(os.sched_getaffinity(0)) + 1)]
    form.fields["threads"].value = 1
    assert form.call()[1] == {"device": "cpu", "threads": 1, "runs": 20}
    form.fields["device"].value = "interpreter"
    assert form.fields["threads"].disabled
    assert form.call()[1] == {"device": "interpreter", "runs": 20}
    form.fields["device"].value = "rpc://host:9090"
    assert form.call()[1] == {"device": "rpc://host:9090", "threads": 1, "runs": 20}
    form.fields["device"].value = "nonsense"
    assert form.fields["threads"].disabled


def test_images_are_the_first_of_the_calibration_set(flow: ect.Flow, images: np.ndarray) -> None:
    form = form_of(flow.interpret)
    form.fields["images"].value = 2
    (chosen,), _ = form.call()
    np.testing.assert_array_equal(chosen, images[:2])


def test_images_given_by_code_take_the_place_of_the_calibration_set(flow: ect.Flow, images: np.ndarray) -> None:
    form = form_of(flow.interpret)
    form.show((images[3:],), {})
    assert (form.fields["images"].value, form.fields["images"].max) == (3, 3)
    form.fields["images"].value = 1
    (chosen,), more = form.call()
    np.testing.assert_array_equal(chosen, images[3:4])
    form.show((chosen,), more)  # the form's own run changes nothing
    assert form.fields["images"].max == 3


def test_other_images_of_the_flow_are_taken_and_an_engine_is_kept(flow: ect.Flow, images: np.ndarray) -> None:
    form = form_of(flow.interpret)
    form.show((images[3:],), {"engine": "definition"})
    assert form.call()[1] == {"engine": "definition"}
    assert form.note.value == "and engine definition"
    form.show((), {})
    flow.calibration = images[1:]
    (chosen,), more = form.call()
    assert (len(chosen), more) == (4, {})
    np.testing.assert_array_equal(chosen, images[1:5])


def test_without_images_there_is_no_field_until_a_run_brings_some(flow: ect.Flow, images: np.ndarray) -> None:
    flow.calibration = None
    form = form_of(flow.interpret)
    assert (form.call(), form.fields["images"].layout.display) == (((), {}), "none")
    form.show((images[:2],), {})
    assert (form.fields["images"].layout.display, form.fields["images"].max) == ("", 2)
    (chosen,), _ = form.call()
    np.testing.assert_array_equal(chosen, images[:2])


def test_one_array_of_all_calibration_images_may_be_absent(flow: ect.Flow) -> None:
    flow.calibration = iter(())
    form = form_of(flow.interpret)
    assert form.call() == ((), {})


@pytest.mark.parametrize("attribute", ["quantize", "interpret", "importer", "build", "device"])
def test_every_field_has_a_name(flow: ect.Flow, attribute: str) -> None:
    assert all(field.description for field in form_of(getattr(flow, attribute)).fields.values())


def test_what_layers_have_of_their_own_is_told_in_words(flow: ect.Flow) -> None:
    form = form_of(flow.quantize)
    config = ect.QuantConfig().tuned("body.0", clip=(-1.0, 2.7031234), weight_bits=7).tuned("body.1", keep_float=True)
    form.show((config,), {})
    assert form.note.value == (
        "and <details><summary>settings of 2 layers</summary><ul><li>body.0: weight bits 7, clip -1 to 2.703</li>"
        "<li>body.1: keep float True</li></ul></details>"
    )
    assert form.call()[1]["layers"] == config.layers


def test_tuning_leaves_the_door_as_a_hand_chose_it() -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU())
    flow = ect.Flow(module.eval(), calibration=np.ones((2, 3, 4, 4), "f4"))
    form = card_of(flow.quantize).form
    flow.quantize.run().tune("0", clip=(0.0, 0.5))
    assert (form.fields["door"].value, flow.quantize.door) == ("auto", "export")
    flow.quantize.undo()
    assert form.fields["door"].value == "auto"
