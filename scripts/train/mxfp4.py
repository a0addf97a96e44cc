"""MXFP4: 4-bit floats (E2M1) in blocks of 32 along the last dimension, one power-of-two scale (E8M0) a block.

`quantize` and `dequantize` are what the checkpoint stores; `fake_quantize` is their round trip, in the training loop,
with the gradient passed straight through, so that the model learns weights that survive the rounding.
"""

import torch

BLOCK = 32
# The 16 codes; bit 3 is the sign.
FP4_VALUES = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def round_fp4(x: torch.Tensor) -> torch.Tensor:
    """Nearest of 0, 0.5, 1, 1.5, 2, 3, 4, 6 with the sign kept; the step doubles at 2 and at 4; ties go to even."""
    a = x.abs().clamp_(max=6.0)
    # 2**floor(log2(a)) by keeping the exponent bits of the float, for a >= 1; below 2 the step is 0.5.
    step = (a.clamp(min=1.0).view(torch.int32) & 0x7F800000).view(torch.float32).mul_(0.5)
    return a.div_(step).round_().mul_(step).copysign_(x)


def block_scale(w: torch.Tensor) -> torch.Tensor:
    """The power of two for each block [..., 1]: of the two exponents around amax/6, the one with less squared error."""
    amax = w.abs().amax(-1, keepdim=True).clamp_(min=2.0**-100)
    high = torch.exp2(torch.ceil(torch.log2(amax / 6.0)))  # smallest scale that clips nothing
    low = high * 0.5  # clips the largest values, rounds the others more finely
    error = lambda s: (round_fp4(w / s).mul_(s) - w).square_().sum(-1, keepdim=True)
    return torch.where(error(low) < error(high), low, high)


def round_trip(w: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
    blocks = w.view(*w.shape[:-1], -1, BLOCK)
    scale = block_scale(blocks) if scale is None else scale
    return (round_fp4(blocks / scale).mul_(scale)).view(w.shape)


class FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w, scale):
        return round_trip(w, scale)

    @staticmethod
    def backward(ctx, grad):
        return grad, None


def fake_quantize(w: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
    return FakeQuantize.apply(w, scale)


def quantize(w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[..., n] floats to blocks U8 [..., n/32, 16] and scales U8 [..., n/32]. Low nibble = even element."""
    blocks = w.float().reshape(*w.shape[:-1], -1, BLOCK)
    scale = block_scale(blocks)
    values = round_fp4(blocks / scale)
    magnitude = (values.abs().unsqueeze(-1) == FP4_VALUES[:8]).to(torch.uint8).argmax(-1).to(torch.uint8)
    code = magnitude | (torch.signbit(values).to(torch.uint8) << 3)
    packed = code[..., 0::2] | (code[..., 1::2] << 4)
    return packed, (torch.log2(scale).round().to(torch.int32) + 127).to(torch.uint8).squeeze(-1)


def dequantize(blocks: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    codes = torch.stack([blocks & 15, blocks >> 4], dim=-1).flatten(-2)
    values = FP4_VALUES[codes.long()] * torch.exp2(scales.float() - 127).unsqueeze(-1)
    return values.flatten(-2)
