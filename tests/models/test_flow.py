from __future__ import annotations

import torch
from torch import Tensor, nn

from exeunt.models.flow import Feature, Flow, Node, cut


class Sum(nn.Module):
    def forward(self, *terms: Tensor) -> Tensor:
        return torch.stack(terms).sum(0)


class Twice(nn.Module):
    """Returns what it got, grown, and twice it."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat((x, x), 1), 2 * x


def nodes() -> list[Node]:
    return [
        Node("a", Sum(), ("x",), ("early",)),
        Node("b", Twice(), ("early",), ("early", "two")),
        Node("c", Sum(), ("two", "two"), ("four",)),
        Node("d", Sum(), ("four", "four"), ("four",)),
        Node("e", Sum(), ("early", "early"), ("late",)),
    ]


def test_a_whole_flow() -> None:
    (flow,) = cut(nodes(), {"e": Feature("late", 3)}, "x")
    assert (flow.takes, flow.leaves) == (("x",), ("late",))
    assert [name for name, _ in flow.named_children()] == ["a", "b", "c", "d", "e"]
    x = torch.ones(2, 3)
    torch.testing.assert_close(flow(x), (torch.full((2, 6), 2.0),))


def test_flows_hand_on_what_is_read_later_and_the_feature_last() -> None:
    flows = cut(
        nodes(), {"b": Feature("two", 3), "d": Feature("four", 3), "e": Feature("late", 3)}, "x"
    )
    assert [flow.takes for flow in flows] == [("x",), ("early", "two"), ("early", "four")]
    # nobody reads "four" any more, but it is the second feature
    assert [flow.leaves for flow in flows] == [("early", "two"), ("early", "four"), ("late",)]
    state = (torch.ones(2, 3),)
    shapes = []
    for flow in flows:
        state = flow(*state)
        shapes.append([tuple(part.shape) for part in state])
    assert shapes == [[(2, 6), (2, 3)], [(2, 6), (2, 3)], [(2, 6)]]
    torch.testing.assert_close(state[0], torch.full((2, 6), 2.0))


def test_an_exit_where_the_feature_is_read_by_nobody_else() -> None:
    first, second = cut(nodes(), {"c": Feature("four", 3), "e": Feature("late", 3)}, "x")
    assert first.leaves == ("early", "four")
    assert second.leaves == ("late",)
    assert "early, four -> late" in repr(second)


def test_what_is_passed_on_is_not_copied() -> None:
    early, four = torch.ones(1, 2), torch.ones(1, 3)
    flow = Flow(nodes()[3:4], ("early", "four"), ("early", "four"))
    out = flow(early, four)
    assert out[0] is early
    assert out[1] is not four
