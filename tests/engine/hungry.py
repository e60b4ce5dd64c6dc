"""Layers that really ask for more memory than there is, once a batch is too large."""

import torch

MORE_THAN_THERE_IS = 1 << 46


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, most):
        ctx.most = most
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        ask(gradient, ctx.most)
        return gradient, None


def ask(x, most):
    if len(x) > most:
        torch.empty(MORE_THAN_THERE_IS, dtype=torch.float64)


class Hungry(torch.nn.Module):
    """Passes on what it gets; at most ``most`` pictures at a time, in forward or backward."""

    def __init__(self, most, *, backward=False):
        super().__init__()
        self.most, self.in_backward = most, backward

    def forward(self, x):
        if self.in_backward and self.training:
            return _Backward.apply(x, self.most)
        ask(x, self.most)
        return x


def feed(state, most, *, backward=False):
    """Make the end of the network hungry; its weights and their names stay as they are."""
    state.model.add_module("hungry", Hungry(most, backward=backward))
    return state
