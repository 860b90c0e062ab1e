"""Networks of timm, where it is installed: the same numbers, and kernels for all of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from exeunt.export.c import Float32, Int8
from exeunt.export.c.model import written
from exeunt.export.c.source import CSource
from exeunt.graph import build_graph, interpret, plan_stream
from exeunt.net import MultiExitNet, Stage
from exeunt.ops.exits import make_exit
from exeunt.policies import parse_policy
from exeunt.quantize import IntegerPolicy, observe_ranges, quantize

SIZE = 32
NAMES = [
    *("mobilenetv3_small_050", "efficientnet_b0", "tf_efficientnet_lite0", "ghostnet_050"),
    *("regnetx_002", "lcnet_050", "mobilenetv4_conv_small_050", "starnet_s050"),
]


@pytest.fixture(scope="module")
def timm() -> Iterator[ModuleType]:
    """timm; torchvision's compiled operators, which need not be there, are declared."""
    if find_spec("timm") is None or find_spec("torchvision") is None:
        pytest.skip("timm and torchvision are not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = torch.library.Library("torchvision", "FRAGMENT")
        if not hasattr(torch.ops.torchvision, "nms"):
            library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            names = ("qnms", "roi_align", "qroi_align", "roi_pool", "ps_roi_align", "ps_roi_pool")
            gradients = ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool")
            for name in (*names, *(f"_{name}_backward" for name in gradients)):
                library.define(f"{name}(Tensor x) -> Tensor")
        yield pytest.importorskip("timm")


class Features(nn.Module):
    """A network without its classifier."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.net.forward_features(x)
        return features


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_timm(timm: ModuleType, name: str) -> None:
    torch.manual_seed(0)
    features = Features(timm.create_model(name, num_classes=4)).eval()
    x = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        channels = features(x).shape[1]
        net = MultiExitNet([Stage(features, make_exit("pooled", channels, 4))], 4).eval()
        graph = build_graph(net, SIZE)
        torch.testing.assert_close(interpret(graph, x), net(x), rtol=1e-4, atol=1e-4)
    assert graph.exit_macs == (net.exit_info(SIZE)[0].macs,)
    quantized = quantize(graph, observe_ranges(graph, [x]))
    for numbers in (Float32(parse_policy("full")), Int8(quantized, IntegerPolicy())):
        plan, source = plan_stream(graph, numbers.element_bytes), CSource("net")
        kernels = [numbers.kernel(n, plan, source, k) for k, n in enumerate(written(plan))]
        assert len(kernels) >= 20  # EfficientNet-Lite0: stem, 16 blocks, head, pooling, matrix
