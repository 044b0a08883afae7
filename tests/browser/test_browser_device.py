"""The device panel in a real page: a planted fault is judged, found and mapped by clicks."""

from __future__ import annotations

from accessibility import violations
from notebook_page import OpenNotebook
from playwright.sync_api import expect

_FLOW = """
import numpy as np, torch
from torch import nn
import ectoolkit as ect
from ectoolkit.data.preprocess import IMAGENET
from ectoolkit.testing.faulty_device import planted
from ectoolkit.testing.faults import Fault, KINDS

torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, stride=2), nn.ReLU(),
                    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6)).eval()
photos = ect.sample_photos(3).with_preprocess(ect.Preprocess(resize=32, crop=32, mean=IMAGENET.mean, std=IMAGENET.std))
flow = ect.Flow(net, calibration=photos, name="tiny", class_names=["cat", "dog", "fish", "bird", "car", "tree"])
flow.quantize.run()
flow.interpret.run(photos)
flow.build.run("tiny_deploy")
graph = flow.quantize.graph
node = graph.node("2")
fault = Fault("rounding", "2", graph=KINDS["rounding"](graph, node, np.random.default_rng(0)))
planting = planted(fault, shows_layers=True)  # truncated graphs take seconds to build
planting.__enter__()
"""
_LEAVE = "planting.__exit__(None, None, None)"


def test_a_planted_fault_is_found_on_screen(open_notebook: OpenNotebook) -> None:
    notebook = open_notebook([_FLOW, "flow.device"])
    notebook.page.set_viewport_size({"width": 1280, "height": 3000})
    card = notebook.card("device")
    assert violations(notebook.page, ".ect-card.ect-device") == []
    card.locator("[data-device=faulty] input").check()
    expect(card.locator("[data-device=faulty]")).to_contain_text("power 20 W")
    card.locator(".ect-preflight").click()
    expect(card.locator(".ect-answer-preflight")).to_contain_text("✓ ok")
    card.locator(".ect-judge").click()
    ladder = card.locator(".ect-answer-judge .ect-ladder")
    expect(ladder.locator("li[data-standing=broken]")).to_contain_text("interpreter → faulty")
    expect(ladder).to_contain_text("2 (conv2d) is the first layer that differs")
    assert ladder.locator(".ect-differs").count() > 0
    ladder.locator(".ect-choose-layer").click()
    expect(card.locator(".ect-layer select")).to_have_value("2")
    card.locator(".ect-benchmark").click()
    expect(card.locator(".ect-answer-benchmark [role=slider]").first).to_be_visible()
    chart = card.locator(".ect-answer-benchmark [role=slider]").first
    chart.focus()
    chart.press("End")
    assert chart.get_attribute("aria-valuenow") == "20"
    assert chart.get_attribute("aria-valuetext").startswith("run 20: ")
    card.locator(".ect-run").click()
    expect(card.locator(".ect-summary")).to_contain_text("first difference: ")
    card.locator(".ect-localize").click()
    expect(card.locator(".ect-answer-localize .ect-where")).to_contain_text("2 (conv2d)")
    card.locator(".ect-error_map").click()
    expect(card.locator(".ect-answer-error_map")).to_contain_text("2: faulty - interpreter, codes")
    card.locator(".ect-save_report").click()
    expect(card).to_contain_text("written: verdict.html")
    for theme in ("light", "dark"):
        notebook.theme(theme)
        notebook.shoot(card.locator(".ect-answer-judge"), f"verdict-{theme}")
        assert violations(notebook.page, ".ect-card.ect-device") == []
    assert notebook.lab.value("flow.device.found['judge'].location.layer") == "2"
    notebook.lab.run(_LEAVE)
