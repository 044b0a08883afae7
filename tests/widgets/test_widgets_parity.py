"""Whatever a card does a script does: each of `ACTIONS` by hand in one session, by its call in another."""

from __future__ import annotations

import inspect
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from card_walk import do_by_hand
from parity_walk import Walk, session, take
from plain_numpy import IMAGES

from ectoolkit.data.preprocess import IMAGENET
from ectoolkit.testing.faults import draw
from ectoolkit.testing.faulty_device import planted
from ectoolkit.widgets.actions import ACTIONS, STAGES, page
from ectoolkit.widgets.parts import LayerTable, Part

ROOT = Path(__file__).parents[2]
Names = dict[str, Any]


@pytest.fixture(scope="module")
def deploy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flow = session()
    flow.quantize.run()
    flow.interpret.run(IMAGES[:4])
    return flow.build.run(tmp_path_factory.mktemp("parity") / "deploy").deployment.path


@pytest.fixture(scope="module")
def faulty() -> Iterator[str]:
    """A wrong bit in the weights of "first", on a device of its own."""
    fault = draw(session().quantize.run().graph, "weight bit", 11, IMAGENET)
    assert fault.layer == "first"
    with planted(fault, shows_layers=True) as name:
        yield name


# --- what is chosen ---------------------------------------------------------------------------------------------------

#: of each card what its fields say at first
SETTINGS: dict[str, Names] = {
    "model": {},
    "quantize": {"method": "typical", "weights": "per_channel", "activation_bits": 8},
    "interpret": {},
    "importer": {"layout": "NHWC", "isa": "host"},
    "build": {"out": None, "target": "cpu"},
    "device": {"device": "cpu", "runs": 20},
}
#: by card and place of the control, what is chosen with it
VALUES: dict[str, dict[str, Any]] = {
    "flow": {"view": 4},
    "model": {"table": "head"},
    "quantize": {
        "form.fields['method']": "minmax",
        "form.fields['weights']": "per_tensor",
        "form.fields['activation_bits']": 7,
        "form.fields['door']": "export",
        "table": "first",
        "detail.graph": {"layer": "second", "column": "isolated_sqnr_db"},
        "detail.settings.shows": "weight",
        "detail.channels": 3,
        "detail.histogram": {"channel": 5, "ends": [-1.25, 2.5], "settled": 1},
        "detail.settings.fields['method']": "minmax",
        "detail.settings.fields['activation_bits']": 6,
        "detail.settings.fields['weights']": "per_tensor",
        "detail.settings.fields['weight_bits']": 5,
        "detail.settings.fields['keep_float']": True,
        "detail.bar.script_button": True,
        "detail.images": {"layer": "first", "image": 1},
    },
    "interpret": {"form.fields['images']": 5, "table": "add"},
    "importer": {"form.fields['layout']": "NCHW", "form.fields['isa']": "avx2", "table": "first"},
    "build": {"form.fields['target']": "mera:InterpreterHw"},
    "device": {
        "form.fields['device']": "interpreter",
        "form.fields['images']": 2,
        "form.fields['threads']": 1,
        "form.fields['runs']": 7,
        "depths": (1, 2),
        "chain": "cpu",
        "answers.layer": "add",
        "answers.against": "float",
        "answers.map.channels": {"image": 2, "channel": 3},
        "answers.photos": 1,
    },
}
#: what the calls speak of, until something else is chosen
NAMES: Names = {
    "layer": "second", "image": -1, "channel": -1, "images": 4, "low": -1.25, "high": 2.5,
    "column": "isolated_sqnr_db", "listener": lambda event: None,
}  # fmt: skip


def walk_of(card: str, settings: Names | None = None, values: Names | None = None, **names: Any) -> Walk:
    return Walk(card, SETTINGS.get(card, {}) | (settings or {}), VALUES[card] | (values or {}), **(NAMES | names))


def test_the_list_is_of_all_stages() -> None:
    assert [stage.attribute for stage in session().stages] == list(STAGES)
    assert {action.card for action in ACTIONS} == {"flow", *STAGES}
    assert len({(action.card, action.control, action.hand) for action in ACTIONS}) == len(ACTIONS)


def test_flow() -> None:
    walk = walk_of("flow")
    walk.begin("model", "quantize", "interpret", "quantize")  # the reference is stale
    take(walk)
    assert [str(stage.state) for stage in walk.mine.stages[:4]] == ["done", "done", "stale", "not run"]


def test_model() -> None:
    walk = walk_of("model")
    walk.begin("quantize")
    take(walk)


def test_quantize() -> None:
    walk = walk_of("quantize")
    walk.begin()

    def activations() -> None:
        do_by_hand(walk.card.detail.settings.shows, "value", "activation")
        walk.settle()

    take(walk, before={"read its channels": activations})
    changes = ["clip=(-1.25, 2.5)", "clip=None", "method='minmax'", "activation_bits=6", "weights='per_tensor'"]
    assert walk.mine.quantize.log == [f"second: {change}" for change in [*changes, "weight_bits=5", "keep_float=True"]]


@pytest.mark.parametrize("card", ["interpret", "importer"])
def test_after_quantize(card: str) -> None:
    walk = walk_of(card)
    walk.begin("quantize")
    take(walk)


def test_build(tmp_path: Path) -> None:
    walk = walk_of("build", values={"form.fields['out']": str(tmp_path / "deploy")})
    walk.begin("quantize", "interpret")
    take(walk, skipped=("run",))  # its button was pressed with each setting, and a build takes a second


def test_device(deploy: Path, faulty: str, tmp_path: Path) -> None:
    values = {
        "form.fields['deployment']": str(shutil.copytree(deploy, tmp_path / "copy")),
        "report": str(tmp_path / "hand.json"),
    }
    given = {"deployment": str(deploy)}
    names = {"device": faulty, "runs": 20, "depths": (1,), "images": None, "report": str(tmp_path / "call.json")}
    walk = walk_of("device", given, values, **names, **given)
    walk.begin("quantize", "interpret")
    do_by_hand(walk.card.form.fields["deployment"], "value", str(deploy))
    ask_the_faulty = partial(do_by_hand, walk.card.form.fields["device"], "value", faulty)
    take(walk, before={"preflight": ask_the_faulty})
    walk.card.close()


def test_the_page_is_of_this_list() -> None:
    """Made anew by ``python -m ectoolkit.widgets.actions > docs/actions.md``."""
    assert (ROOT / "docs" / "actions.md").read_text(encoding="utf-8") == page()


def test_scripts_set_and_say_what_their_parts_declare() -> None:
    for part in Part.__subclasses__():
        source = (Path(inspect.getfile(part)).parent / f"{part.script}.js").read_text(encoding="utf-8")
        chosen = re.findall(r"choose\(model, (\{[^}]*\}|traits)", source)
        assert len(chosen) == source.count("choose(model") == len(re.findall(r"\bchoose\(", source)), part
        set_ = {name for found in chosen for name in re.findall(r"(\w+):", found)}
        assert set_ <= {*part.follows, *part.page_sets}, part
        assert not {"model.set(", "save_changes"} & set(re.findall(r"model\.set\(|save_changes", source)), part
        assert set(re.findall(r'model\.send\("(\w+)"\)', source)) == set(part.page_says), part
        assert source.count("model.send(") == len(part.page_says), part


def test_a_page_changes_nothing_else() -> None:
    table = LayerTable(pd.DataFrame({"layer": ["a", "b"], "macs": [1, 2]}))
    table.set_state({"layer": "b", "rows": [], "image": 3, "chooses": "image"})
    assert (table.layer, len(table.rows), table.image, table.chooses) == ("b", 2, -1, "layer")
