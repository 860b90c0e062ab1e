from __future__ import annotations

import pytest

from exeunt.errors import ExeuntError
from exeunt.graph import build_graph
from exeunt.models import create_model, default_image_size


def test_parameters_and_macs_of_the_published_network() -> None:
    """Howard et al. print 4.2 M and 569 M; other libraries count 4,231,976 parameters."""
    net = create_model("mobilenetv1", exits="last")
    assert sum(p.numel() for p in net.parameters()) == 4_231_976
    assert net.exit_info(224)[-1].macs == 568_740_352


def test_mlperf_tinys_network_for_visual_wake_words() -> None:
    """Published with biases in its convolutions: 221,794 numbers, of which batch norm has 4 for
    each of 2736 channels, which fold away.
    """
    net = create_model("mobilenetv1_025", exits="last")
    assert (net.num_classes, default_image_size("mobilenetv1_025")) == (2, 96)
    assert net.exit_info(96)[-1].macs == 7_489_664
    nodes = build_graph(net, 96).nodes
    assert sum(t.numel() for node in nodes for t in node.constants.values()) == 221_794 - 4 * 2736


@pytest.mark.parametrize(
    ("kwargs", "count"),
    [({}, 7), ({"exits": "all"}, 7), ({"exits": "last"}, 1), ({"exits": [4, 12]}, 2)],
)
def test_exits(kwargs: dict[str, object], count: int) -> None:
    assert create_model("mobilenetv1_025", **kwargs).num_exits == count


def test_wrong_arguments() -> None:
    with pytest.raises(ExeuntError, match=r"width=0; give a number above 0"):
        create_model("mobilenetv1", width=0)
    with pytest.raises(ExeuntError, match="no block 13; positions 0 to 12"):
        create_model("mobilenetv1", exits=[13])
