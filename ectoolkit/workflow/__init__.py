"""The session that joins the rooms: `Flow` and its six stages.

Promises: whatever a card does, a script can do with the same objects; a failed or cancelled run leaves the last good
result; a stage says when something before it has changed.  Must never import a notebook library.
"""

from ectoolkit.workflow.flow import Flow
from ectoolkit.workflow.stage import Stage, StageEvent, StageState
from ectoolkit.workflow.stages.build import BuildStage
from ectoolkit.workflow.stages.device import DevicePanel
from ectoolkit.workflow.stages.importer import ImportStage
from ectoolkit.workflow.stages.interpret import InterpretStage
from ectoolkit.workflow.stages.model import ModelStage
from ectoolkit.workflow.stages.quantize import QuantizeStage

__all__ = [
    "BuildStage",
    "DevicePanel",
    "Flow",
    "ImportStage",
    "InterpretStage",
    "ModelStage",
    "QuantizeStage",
    "Stage",
    "StageEvent",
    "StageState",
]
