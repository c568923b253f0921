"""The parts of each kind of model: which networks and glue, in which order.

Every kind has two plans that compute the same: one for the CPU chain, whose glue may have
data-dependent shapes (exactly as many crops as animals), and one for the composed graph,
whose shapes follow from those of the inputs.
"""

from collections.abc import Sequence
from typing import assert_never

from shoal_common.inference.contract import PoseContract
from shoal_serving.graphs.fitting import fit_frames
from shoal_serving.graphs.frame_plans import centroid_plan, parts_plan, single_instance_plan
from shoal_serving.graphs.network import Network
from shoal_serving.graphs.plan import Plan
from shoal_serving.graphs.topdown_plans import centered_instance_plan, topdown_plan


def make_plan(contract: PoseContract, networks: Sequence[Network], composed: bool) -> Plan:
    """Returns the parts of a model; `composed` asks for shapes that do not depend on data."""
    plan = _plan_for_kind(contract, networks, composed)
    target = contract.target_size_px
    if target is None:
        return plan
    return fit_frames(plan, target, antialias=contract.stages[0].antialias)


def _plan_for_kind(contract: PoseContract, networks: Sequence[Network], composed: bool) -> Plan:
    match contract.kind:
        case "single_instance":
            return single_instance_plan(contract, networks[0])
        case "centroid":
            return centroid_plan(contract, networks[0])
        case "centered_instance" | "multiclass_centered_instance":
            return centered_instance_plan(contract, networks[0], composed)
        case "topdown" | "multiclass_topdown":
            return topdown_plan(contract, networks[0], networks[1], composed)
        case "bottomup" | "multiclass_bottomup":
            return parts_plan(contract, networks[0], composed)
        case _:
            assert_never(contract.kind)
