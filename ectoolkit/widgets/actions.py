"""All that a hand can do in a card and all that a card shows, each with the call of a script that does the same.

``python -m ectoolkit.widgets.actions`` prints it as the page ``docs/actions.md``.  A test walks the cards: it fails
where one has a control that is not named here, and does each action by hand and by its call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Action:
    """One thing that can be done, or is shown.

    Attributes:
        card: name of the stage in `ectoolkit.Flow`; ``"flow"`` for the page of all stages.
        does: in words.
        label: what the page writes on the control, or what it is.
        control: where the card has it, as an attribute of its ``card_of(stage)``.
        hand: what the page does with it: ``"click"``, the trait that it sets, the message that it sends; ``""`` where
            it shows only.
        call: the same in a script.  `settings` are what all fields of the card say, `others` all but the one at hand;
            `value` is what is chosen.
        then: the button to be pressed after, by its place in the card; ``""`` for none.
    """

    card: str
    does: str
    label: str
    control: str
    hand: str
    call: str
    then: str = ""


#: of each card the settings that have a field, by name, with its label
_SETTINGS: Mapping[str, Mapping[str, str]] = {
    "quantize": {"method": "method", "weights": "weights", "activation_bits": "activation bits", "door": "door"},
    "interpret": {"images": "images"},
    "importer": {"layout": "layout", "isa": "instruction set"},
    "build": {"out": "folder", "target": "target"},
    "device": {
        "device": "device",
        "deployment": "deployment",
        "images": "images",
        "threads": "threads",
        "runs": "timed runs",
    },
}
#: cards whose table has layers
_OF_LAYERS = ("model", "quantize", "interpret", "importer")


def _stage(card: str) -> Iterator[Action]:
    """What all cards have."""
    stage, settings = f"flow.{card}", _SETTINGS.get(card, {})
    run, button = f"{stage}.run(**settings)", "Run and compare" if card == "device" else "Run"
    yield Action(card, "stop what runs", "Cancel", "cancel_button", "click", f"{stage}.cancel()")
    yield Action(card, "read what went wrong", "error", "error", "", f"{stage}.error")
    if card == "interpret":
        run = "flow.interpret.run(flow.calibration[:images])"
        call = "flow.interpret.run(flow.calibration[:value])"
        yield Action(card, "run more or fewer", "images", "form.fields['images']", "value", call, "run_button")
    else:
        for name, label in settings.items():
            call = f"{stage}.run(**others, {name}=value)"
            control = f"form.fields[{name!r}]"
            yield Action(card, f"run with another `{name}`", label, control, "value", call, "run_button")
    yield Action(card, "run", button, "run_button", "click", run)
    if settings:
        yield Action(card, "read settings that no field has", "and …", "form.note", "", f"{stage}.settings")
    yield Action(card, "read the state", "title", "head", "", f"{stage}.state")
    yield Action(card, "read the result in a line", "summary", "summary", "", f"{stage}.summary()")
    yield Action(card, "read warnings", "warnings", "notices", "", f"{stage}.notices")
    yield Action(card, "see how far it is", "progress", "bar", "", f"{stage}.observe(listener)")
    yield Action(card, "see the step at hand", "progress", "label", "", f"{stage}.observe(listener)")
    yield Action(card, "read the table", "table", "table", "", f"{stage}.overview")
    if card in _OF_LAYERS:
        call = "flow.quantize.histogram(layer)"
        yield Action(card, "choose a layer in the table", "table", "table", "layer", call)


def _of(card: str, rows: Sequence[tuple[str, ...]]) -> Iterator[Action]:
    return (Action(card, *row) for row in rows)


def _explorer() -> Iterator[Action]:
    own, quantize = "detail.settings.fields", "flow.quantize"
    yield from _of(
        "quantize",
        [
            ("choose a layer in the graph", "graph", "detail.graph", "layer", f"{quantize}.histogram(layer)"),
            ("read a distribution", "histogram", "detail.histogram", "", f"{quantize}.histogram(layer)"),
            ("look at its weights", "activations, weights", "detail.settings.shows", "value",
             f"{quantize}.histogram(layer, 'weight')"),
            ("read its channels", "heat map of channels", "detail.channels", "", f"{quantize}.channels(layer)"),
            ("choose a channel", "heat map of channels", "detail.channels", "channel",
             f"{quantize}.channels(layer).loc[channel]"),
            ("choose a channel in the strip", "histogram", "detail.histogram", "channel",
             f"{quantize}.channels(layer).loc[channel]"),
            ("move a handle", "histogram", "detail.histogram", "ends", f"{quantize}.preview(layer, clip=(low, high))"),
            ("let a handle go", "histogram", "detail.histogram", "settled",
             f"{quantize}.tune(layer, clip=(low, high))"),
            ("give the range back", "range back to the method", "detail.settings.free", "click",
             f"{quantize}.tune(layer, clip=None)"),
            ("choose its method", "method", f"{own}['method']", "value", f"{quantize}.tune(layer, method=value)"),
            ("choose its activation bits", "bits", f"{own}['activation_bits']", "value",
             f"{quantize}.tune(layer, activation_bits=value)"),
            ("choose scales of its weights", "weights", f"{own}['weights']", "value",
             f"{quantize}.tune(layer, weights=value)"),
            ("choose its weight bits", "weight bits", f"{own}['weight_bits']", "value",
             f"{quantize}.tune(layer, weight_bits=value)"),
            ("keep it in float", "keep in float", f"{own}['keep_float']", "value",
             f"{quantize}.tune(layer, keep_float=value)"),
            ("undo", "undo", "detail.bar.undo_button", "click", f"{quantize}.undo()"),
            ("redo", "redo", "detail.bar.redo_button", "click", f"{quantize}.redo()"),
            ("read the log", "changes", "detail.bar.log", "", f"{quantize}.log"),
            ("open the script", "as script", "detail.bar.script_button", "value", "flow.to_script()"),
            ("read the script", "script", "detail.bar.script", "", "flow.to_script()"),
            ("read what a change led to", "message", "detail.message", "", f"{quantize}.notices"),
            ("read the graph", "graph", "detail.graph", "", f"{quantize}.layout()"),
            ("colour the graph", "graph", "detail.graph", "column", f"{quantize}.table[column]"),
            ("read errors by image", "heat map of images", "detail.images", "", f"{quantize}.image_errors()"),
            ("choose a layer in the map", "heat map of images", "detail.images", "layer",
             f"{quantize}.histogram(layer)"),
            ("choose an image", "heat map of images", "detail.images", "image",
             f"{quantize}.image_errors()[f'image_{{image}}_sqnr_db']"),
            ("read where the error lies", "heat map of positions", "detail.error_map", "",
             f"{quantize}.error_map(layer, image)"),
        ],
    )  # fmt: skip


def _panel() -> Iterator[Action]:
    device, given = "flow.device", "deployment=deployment, images=images"
    found = f"{device}.found"
    yield from _of(
        "device",
        [
            ("look at devices and sensors", "device", "form.list", "seen", f"{device}.health"),
            ("read devices and sensors", "device", "form.list", "", f"{device}.health"),
            ("preflight", "Preflight", "buttons['preflight']", "click", f"{device}.preflight(device, {given})"),
            ("read the preflight", "Preflight", "answers.checks", "", f"{found}['preflight']"),
            ("benchmark", "Benchmark", "buttons['benchmark']", "click",
             f"{device}.benchmark(device, runs=runs, depths=depths, deployment=deployment)"),
            ("benchmark at other depths", "requests in flight", "depths", "value",
             f"{device}.benchmark(device, runs=runs, depths=value, deployment=deployment)", "buttons['benchmark']"),
            ("read the loads", "table", "answers.loads", "", f"{found}['benchmark'].to_frame()"),
            ("read the latencies", "strip chart", "answers.latency", "", f"{found}['benchmark'].latency.seconds"),
            *(("read a sensor", "strip chart", f"answers.sensors[{place}]", "", f"{found}['benchmark'].sensors.values")
              for place in range(4)),
            ("judge", "Verdict", "buttons['judge']", "click", f"{device}.judge(device, {given})"),
            ("judge through another device", "verdict for", "chain", "value",
             f"{device}.judge([value, device], {given})", "buttons['judge']"),
            ("read the verdict", "ladder", "answers.ladder", "", f"{found}['judge']"),
            *(("go where the verdict points", "Choose layer …", "answers.ladder", trait,
               f"{found}['judge'].location.{trait}") for trait in ("layer", "image", "channel", "element")),
            ("find the layer", "Find the layer", "buttons['localize']", "click", f"{device}.localize(device, {given})"),
            ("read where it parts", "ladder", "answers.where", "", f"{found}['localize'].location"),
            *(("go where it parts", "Choose layer …", "answers.where", trait, f"{found}['localize'].location.{trait}")
              for trait in ("layer", "image", "channel", "element")),
            ("map a layer", "Map", "buttons['error_map']", "click", f"{device}.error_map(layer, device, {given})"),
            ("map another layer", "layer", "answers.layer", "value",
             f"{device}.error_map(value, device, {given})", "buttons['error_map']"),
            ("map float against interpreter", "between", "answers.against", "value",
             f"{device}.error_map(layer, images=images)", "buttons['error_map']"),
            ("read a map", "heat map", "answers.map.channels", "", f"{found}['error_map'].by_channel()"),
            ("choose an image in the map", "heat map", "answers.map.channels", "image",
             f"{found}['error_map'].positions(image, channel)"),
            ("choose a channel in the map", "heat map", "answers.map.channels", "channel",
             f"{found}['error_map'].positions(image, channel)"),
            ("read its positions", "heat map", "answers.map.positions", "",
             f"{found}['error_map'].positions(image, channel)"),
            ("read the best classes", "photos", "answers.photos", "", f"{device}.top()"),
            ("choose a photo", "photos", "answers.photos", "image", f"{device}.top().query(f'image == {{image}}')"),
            ("name the report", "report", "report", "value", f"{device}.save_report(value)", "buttons['save_report']"),
            ("save the report", "Save report", "buttons['save_report']", "click", f"{device}.save_report(report)"),
            ("read where it was written", "written", "written", "", "report"),
        ],
    )  # fmt: skip


STAGES = ("model", "quantize", "interpret", "importer", "build", "device")
#: all of them, in the order of the cards
ACTIONS: tuple[Action, ...] = (
    Action("flow", "open a stage", "titles", "view", "selected_index", "flow.stages[value]"),
    Action("flow", "read all states", "titles", "view", "", "[stage.state for stage in flow.stages]"),
    *_stage("model"),
    *_stage("quantize"),
    *_explorer(),
    *_stage("interpret"),
    *_stage("importer"),
    *_stage("build"),
    *_stage("device"),
    *_panel(),
)

_INTRODUCTION = """\
# What each control calls

Whatever a card does, a script does with the same objects: each control calls one public method. `settings` are what all
fields of the card say, `others` all but the one at hand, `value` is what is chosen; other names say what they are. A
test walks the cards, finds each control in this list, and does each action by hand and by its call, with one outcome.
"""


def page() -> str:
    """The list as Markdown."""
    lines = _INTRODUCTION.splitlines()
    for card in ("flow", *STAGES):
        lines += ["", f"## {'The page of all stages: `flow`' if card == 'flow' else f'`flow.{card}`'}", ""]
        lines += ["| to | control | call |", "|---|---|---|"]
        merged: dict[tuple[str, str], list[str]] = {}
        for action in (one for one in ACTIONS if one.card == card):
            pressed = next((one.label for one in ACTIONS if one.card == card and one.control == action.then), "")
            calls = merged.setdefault((action.does, ", then ".join(filter(None, [action.label, pressed]))), [])
            if f"`{action.call}`" not in calls:
                calls.append(f"`{action.call}`")
        lines += [f"| {does} | {label} | {'<br>'.join(calls)} |" for (does, label), calls in merged.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
