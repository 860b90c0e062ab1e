"""What every multi-exit network must do, as a check that anyone can run on their own."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from exeunt.net import MultiExitNet


def check_model(
    net: MultiExitNet, image_size: int | tuple[int, int] = 64, *, tolerance: float = 1e-4
) -> None:
    """Checks a network against the stage contract (`exeunt.net`); the net itself is not changed.

    * `forward` gives E finite logits (N, K), and `begin` and `step` give the same;
    * the state is a tuple of batch-first tensors, and rows may be dropped from it between stages
      without changing the others;
    * a batch is evaluated row by row: batch 1 equals batch N;
    * `exit_info` has one entry per exit, with MACs that grow;
    * every parameter gets a finite gradient from the sum of the logits;
    * `reset_exits` changes K at every exit and leaves the trunks alone.

    Args:
        net: the network.
        image_size: of the images to try, in pixels, H and W.
        tolerance: largest difference that counts as the same, relative to the largest logit.

    Raises:
        AssertionError: naming the rule that is broken, where and by how much.
    """
    net = copy.deepcopy(net).eval()
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    like = next(net.parameters())
    x = torch.randn(4, net.in_chans, height, width, generator=torch.Generator().manual_seed(0))
    x = x.to(like)
    with torch.no_grad():
        logits = net(x)
        _check_logits(net, logits, len(x))
        scale = max(1.0, *(out.abs().max().item() for out in logits))
        _check_steps(net, x, logits, tolerance * scale)
        for k, out in enumerate(net(x[:1])):
            _same(out, logits[k][:1], tolerance * scale, f"exit {k}: batch 1 and batch {len(x)}")
    infos = net.exit_info(image_size)
    macs = [info.macs for info in infos]
    assert len(infos) == net.num_exits, (
        f"exit_info has {len(infos)} entries for {net.num_exits} exits"
    )
    assert macs == sorted(set(macs)), f"exit_info: cumulative MACs must grow, got {macs}"
    _check_gradients(net, x)
    _check_reset(net, x)


def _check_logits(net: MultiExitNet, logits: list[Tensor], rows: int) -> None:
    assert isinstance(logits, list), f"forward returned {type(logits).__name__}, not a list"
    assert len(logits) == net.num_exits, f"{len(logits)} logits for {net.num_exits} exits"
    for k, out in enumerate(logits):
        shape, wanted = tuple(out.shape), (rows, net.num_classes)
        assert shape == wanted, f"exit {k}: logits of shape {shape}, expected {wanted}"
        assert out.isfinite().all(), f"exit {k}: logits are not finite"


def _check_steps(net: MultiExitNet, x: Tensor, logits: list[Tensor], tolerance: float) -> None:
    """Steps through the net, dropping the first of the remaining rows after every stage."""
    state, whole = net.begin(x), net.begin(x)
    first = 0
    for k in range(net.num_exits):
        out, whole = net.step(k, whole)
        _same(out, logits[k], tolerance, f"exit {k}: step and forward")
        out, state = net.step(k, state)
        _same(out, logits[k][first:], tolerance, f"exit {k}: after {first} rows left")
        assert isinstance(state, tuple), f"stage {k}: state is {type(state).__name__}, not a tuple"
        for i, part in enumerate(state):
            rows = part.shape[0] if isinstance(part, Tensor) and part.dim() else None
            wanted = len(x) - first
            assert rows == wanted, f"stage {k}: state[{i}] has {rows} rows, expected {wanted}"
        if first < len(x) - 1:
            first += 1
            state = tuple(part[1:] for part in state)


@torch.enable_grad()
def _check_gradients(net: MultiExitNet, x: Tensor) -> None:
    net.train()
    net.zero_grad(set_to_none=True)
    torch.stack([out.square().sum() for out in net(x)]).sum().backward()  # type: ignore[no-untyped-call]
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{name} gets no gradient"
            assert parameter.grad.isfinite().all(), f"{name}: its gradient is not finite"


def _check_reset(net: MultiExitNet, x: Tensor) -> None:
    net.eval()
    trunks = [copy.deepcopy(stage.get_submodule("trunk").state_dict()) for stage in net.stages]
    classes = net.num_classes + 2
    net.reset_exits(classes)
    with torch.no_grad():
        for k, out in enumerate(net(x)):
            wanted = (len(x), classes)
            shape = tuple(out.shape)
            assert shape == wanted, f"exit {k}: after reset_exits {shape}, expected {wanted}"
    for k, (stage, before) in enumerate(zip(net.stages, trunks, strict=True)):
        for name, tensor in stage.get_submodule("trunk").state_dict().items():
            same = torch.equal(tensor, before[name])
            assert same, f"reset_exits changed stages.{k}.trunk.{name}"


def _same(got: Tensor, wanted: Tensor, tolerance: float, what: str) -> None:
    gap = (got - wanted).abs().max().item()
    assert gap <= tolerance, f"{what} differ by {gap:.3g}, allowed {tolerance:.3g}"


def check_exit_head(
    maker: Callable[..., nn.Module], channels: int = 16, *, tolerance: float = 1e-4
) -> None:
    """Checks what an exit head must do (`exeunt.ops.exits.ExitHead`).

    * `maker(channels, num_classes, dropout)` makes one;
    * it maps (N, C, H, W) to finite (N, K), for maps of 8, 7 and 3 pixels, square or not;
    * a batch is evaluated row by row: batch 1 equals batch N;
    * every parameter gets a finite gradient;
    * `reset_classifier` changes K, and `rescale(scale, shift)` makes outputs `scale * output +
      shift`.

    Args:
        maker: class or function, as `register_exit_head` takes it.
        channels: C of the maps to try.
        tolerance: largest difference that counts as the same, relative to the largest logit.

    Raises:
        AssertionError: naming the rule that is broken, where and by how much.
    """
    classes = 3
    head = maker(channels, classes, 0.0)
    assert isinstance(head, nn.Module), f"makes {type(head).__name__}, not a module"
    for name in ("reset_classifier", "rescale"):
        assert callable(getattr(head, name, None)), f"{type(head).__name__} has no {name}"
    generator = torch.Generator().manual_seed(0)
    head.eval()
    for height, width in ((8, 8), (7, 7), (3, 3), (8, 5)):
        x, size = torch.randn(4, channels, height, width, generator=generator), f"{height}x{width}"
        with torch.no_grad():
            logits = head(x)
            shape = tuple(logits.shape)
            assert shape == (4, classes), f"{size}: output of shape {shape}, expected (4, 3)"
            assert logits.isfinite().all(), f"{size}: output is not finite"
            near = tolerance * max(1.0, logits.abs().max().item())
            _same(head(x[:1]), logits[:1], near, f"{size}: batch 1 and batch 4")
    head.train()
    head(torch.randn(4, channels, 8, 8, generator=generator)).square().sum().backward()
    for name, parameter in head.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{name} gets no gradient"
            assert parameter.grad.isfinite().all(), f"{name}: its gradient is not finite"
    head.eval()
    with torch.no_grad():
        before = head(x)
        head.rescale(2.0, 1.0)  # type: ignore[operator]
        scale = max(1.0, before.abs().max().item())
        _same(head(x), 2 * before + 1, 2 * tolerance * scale, "after rescale(2, 1)")
        head.reset_classifier(classes + 2)  # type: ignore[operator]
        shape = tuple(head(x).shape)
    assert shape == (4, classes + 2), f"after reset_classifier(5): output of shape {shape}"
