"""ReX among the things that PyTorch does to modules, and its benchmark."""

from __future__ import annotations

import copy
import pickle
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from exeunt.ops.rex import ReX2d

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "rex_layer.py"


def make(*sizes: Any, **options: Any) -> ReX2d:
    """A layer with all parameters drawn anew, so that no two biases are equal."""
    rex = ReX2d(*sizes, **options)
    for parameter in rex.parameters():
        nn.init.uniform_(parameter, -0.7, 0.7)
    return rex


class LargestTensor(TorchDispatchMode):
    """Watches the largest storage that any operator returns."""

    def __init__(self) -> None:
        super().__init__()
        self.size_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self.size_bytes = max(self.size_bytes, tensor.untyped_storage().nbytes())
        return out


def test_the_input_is_never_unfolded() -> None:
    rex = ReX2d(32, 16, 8, 6, 2)
    x = torch.randn(1, 32, 40, 40)
    with torch.no_grad(), LargestTensor() as unfolding:
        F.unfold(x, 6, stride=2)
    with torch.no_grad(), LargestTensor() as largest:
        rex(x)
    projected = 3 * 16 * 44 * 44 * 4
    assert largest.size_bytes <= projected < unfolding.size_bytes / 4


def test_autocast_changes_nothing() -> None:
    rex = make(3, 4, 2, 3, 2)
    x = torch.randn(2, 3, 7, 6).bfloat16()
    leaves = list(rex.parameters())
    expected = rex(x.float())
    gradients = torch.autograd.grad(expected.cos().sum(), leaves)
    with torch.autocast("cpu", torch.bfloat16):
        ours = rex(x)
        rough = torch.autograd.grad(ours.cos().sum(), leaves, retain_graph=True)
    assert torch.equal(ours, expected)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(torch.autograd.grad(ours.cos().sum(), leaves), gradients)
    for gradient, close in zip(gradients, rough, strict=True):  # here torch itself rounds
        assert (gradient - close).norm() < 0.02 * gradient.norm()


def test_a_module_of_low_precision_stays_close() -> None:
    rex = make(3, 4, 2, 3, 2)
    x = torch.randn(2, 3, 7, 6)
    low = copy.deepcopy(rex).bfloat16()(x.bfloat16())
    assert low.dtype == torch.bfloat16
    assert (low - rex(x)).abs().max() < 0.05


def assert_compiled_is_the_same(rex: ReX2d, **options: Any) -> None:
    torch.compiler.reset()
    compiled = torch.compile(rex, **options)
    x = torch.randn(2, 3, 4, 6, requires_grad=True)
    leaves = [x, *rex.parameters()]
    ours, expected = compiled(x), rex(x)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(
        torch.autograd.grad(ours.cos().sum(), leaves),
        torch.autograd.grad(expected.cos().sum(), leaves),
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiles() -> None:  # in pieces: Dynamo will not look into an nn.GRU unless told to
    assert_compiled_is_the_same(make(3, 4, 2, 3, 2), backend="aot_eager")


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiles_as_one_graph(backend: str) -> None:
    with torch._dynamo.config.patch(allow_rnn=True):
        assert_compiled_is_the_same(make(3, 4, 2, 3, 2), backend=backend, fullgraph=True)


def test_exports_with_any_batch() -> None:
    rex = make(3, 4, 2, 2, 2, "replicate_out").eval()
    batch = torch.export.Dim("batch")
    example = torch.randn(2, 3, 5, 4)
    program = torch.export.export(rex, (example,), dynamic_shapes={"x": {0: batch}})
    for n in (1, 5):
        x = torch.randn(n, 3, 5, 4)
        torch.testing.assert_close(program.module()(x), rex(x))


def test_memory_layout_does_not_matter() -> None:
    rex = make(3, 4, 2, 3, 2)
    x = torch.randn(2, 3, 7, 6)
    for other in (x.contiguous(memory_format=torch.channels_last), x.mT.contiguous().mT):
        assert not other.is_contiguous()
        torch.testing.assert_close(rex(other), rex(x))
    assert rex(x).is_contiguous()


def test_an_image_does_not_depend_on_its_batch() -> None:
    rex = make(3, 4, 2, 3, 2)
    x = torch.randn(5, 3, 7, 6)
    torch.testing.assert_close(torch.cat([rex(image[None]) for image in x]), rex(x))


@pytest.mark.parametrize("padding", ["same", "replicate_out", 1])
def test_a_batch_of_none_gives_none(padding: Any) -> None:
    rex = ReX2d(3, 4, 2, 3, 2, padding)
    x = torch.zeros(0, 3, 8, 6, requires_grad=True)
    out = rex(x)
    assert out.shape == (0, *rex(torch.zeros(1, 3, 8, 6)).shape[1:])
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape
    assert rex.linear.weight.grad is not None
    assert rex.linear.weight.grad.eq(0).all()
    with torch.no_grad():
        assert rex(x).shape == out.shape


def test_frozen_parameters_and_frozen_inputs() -> None:
    rex = make(3, 4, 2, 3, 2)
    x = torch.randn(2, 3, 7, 6, requires_grad=True)
    (expected,) = torch.autograd.grad(rex(x).cos().sum(), x)
    rex.requires_grad_(False)
    rex(x).cos().sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, expected)
    rex.rnn2.requires_grad_(True)
    rex(x.detach()).cos().sum().backward()
    assert rex.rnn1.weight_ih_l0.grad is None
    assert rex.rnn2.weight_ih_l0.grad is not None


def test_names_of_the_weights_are_those_of_torch() -> None:
    rex = ReX2d(5, 4, 2, (3, 6), 2)
    expected = {f"rnn1.{name}": value for name, value in nn.GRU(5, 4).named_parameters()}
    second = nn.GRU(4, 2, bidirectional=True)
    expected |= {f"rnn2.{name}": value for name, value in second.named_parameters()}
    expected |= {f"linear.{name}": value for name, value in nn.Linear(9 * 4, 8).named_parameters()}
    state = rex.state_dict()
    assert {name: value.shape for name, value in state.items()} == {
        name: value.shape for name, value in expected.items()
    }
    shared = ReX2d(5, 4, 2, 3, 2, shared_directions=True).state_dict()
    assert set(state) - set(shared) == {name for name in state if name.endswith("_reverse")}


def test_survives_pickling() -> None:
    rex = make(3, 4, 2, 3, 2, (1, 2), "fastgrnn")
    x = torch.randn(2, 3, 7, 6)
    assert torch.equal(pickle.loads(pickle.dumps(rex))(x), rex(x))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_gpu_agrees_with_the_cpu(cell: str) -> None:
    rex = make(3, 4, 2, (4, 3), (3, 2), cell=cell).double()
    x = torch.randn(2, 3, 7, 6, dtype=torch.double, requires_grad=True)
    leaves = [x, *rex.parameters()]
    expected = rex(x)
    gradients = torch.autograd.grad(expected.cos().sum(), leaves)
    on_gpu = copy.deepcopy(rex).cuda()
    y = x.detach().cuda().requires_grad_()
    ours = on_gpu(y)
    torch.testing.assert_close(ours.cpu(), expected)
    theirs = torch.autograd.grad(ours.cos().sum(), [y, *on_gpu.parameters()])
    torch.testing.assert_close([gradient.cpu() for gradient in theirs], list(gradients))
    with torch.autocast("cuda", torch.bfloat16):
        assert torch.equal(on_gpu(y), ours)


def test_the_benchmark_runs(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    try:
        runpy.run_path(str(BENCHMARK))["main"](
            ["--batches", "1,2", "--repeats", "3", "--size", "16"]
        )
    finally:
        torch.set_num_threads(threads)
    out = capsys.readouterr().out
    assert "forward at batch 1" in out
    shares = [float(share) for share in re.findall(r"batch \d+: ([\d.]+) of the memory", out)]
    assert len(shares) == 2
    assert max(shares) < 0.5


def test_the_benchmark_counts_what_is_alive_at_once() -> None:
    given = torch.zeros(100)

    def work() -> None:
        a = given + 1  # 400 bytes
        b = a.view(10, 10).mT  # the same 400
        del a
        c = b.double()  # 800 more
        del b
        c.add_(1)
        torch.zeros(50)  # 200 more, the first 400 are gone

    assert runpy.run_path(str(BENCHMARK))["peak_bytes"](work, [given]) == 1200
