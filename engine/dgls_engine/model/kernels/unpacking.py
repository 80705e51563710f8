"""Unpacks weights inside a kernel. `model.packing` describes the formats.

With BY_HAND this is PTX code on pairs of bfloat16, with about two instructions for each weight; reading at full
bandwidth leaves no time for more. Without it, this is plain Triton in float32, because Triton's interpreter cannot run
PTX.
"""

from __future__ import annotations

import triton
import triton.language as tl

_UNPACK_INT4 = tl.constexpr("""
{
    .reg .b32 a, b, c, d, one, off;
    mov.b32 one, 0x3f803f80;              // 1, 1
    mov.b32 off, 0xc300c300;              // -128, -128
    prmt.b32 a, $4, 0, 0x4140;            // bytes 0 and 1, each in 16 bits
    prmt.b32 b, $4, 0, 0x4342;            // bytes 2 and 3
    shr.u32 c, a, 4;
    shr.u32 d, b, 4;
    lop3.b32 a, a, 0x000f000f, 0x43004300, 0xea;  // (a & f) | 128: in bfloat16 that is 128 + q
    lop3.b32 b, b, 0x000f000f, 0x43004300, 0xea;
    lop3.b32 c, c, 0x000f000f, 0x43004300, 0xea;
    lop3.b32 d, d, 0x000f000f, 0x43004300, 0xea;
    fma.rn.bf16x2 a, a, one, off;         // q, exactly
    fma.rn.bf16x2 b, b, one, off;
    fma.rn.bf16x2 c, c, one, off;
    fma.rn.bf16x2 d, d, one, off;
    fma.rn.bf16x2 $0, a, $5, $7;          // q * scale + offset
    fma.rn.bf16x2 $1, b, $6, $8;
    fma.rn.bf16x2 $2, c, $5, $7;
    fma.rn.bf16x2 $3, d, $6, $8;
}
""")

_UNPACK_FP8 = tl.constexpr("""
{
    .reg .b32 a, b, c, d, big, none;
    mov.b32 big, 0x7b807b80;              // 2 ** 120: what lies between the exponents of e4m3 and bfloat16
    mov.b32 none, 0x80008000;             // -0, which changes nothing; signs, too
    prmt.b32 a, $2, 0, 0x1404;            // bytes 0 and 1, each at the top of 16 bits
    prmt.b32 b, $2, 0, 0x3424;            // bytes 2 and 3
    shr.u32 c, a, 4;
    shr.u32 d, b, 4;
    and.b32 a, a, none;
    and.b32 b, b, none;
    lop3.b32 a, c, 0x07f007f0, a, 0xea;   // sign, then exponent and fraction where bfloat16 has them
    lop3.b32 b, d, 0x07f007f0, b, 0xea;
    fma.rn.bf16x2 $0, a, big, none;
    fma.rn.bf16x2 $1, b, big, none;
}
""")


@triton.jit
def unpack_fp8(values, BY_HAND: tl.constexpr):
    """values uint8 -> their values as e4m3, without the scale. Works on hardware without e4m3, too."""
    if BY_HAND:
        weights = tl.inline_asm_elementwise(_UNPACK_FP8, "=r,=r,r", [values], dtype=tl.bfloat16, is_pure=True, pack=4)
    else:
        bits = values.to(tl.uint32)
        bits = ((bits & 0x80) << 24) | ((bits & 0x7F) << 20)
        weights = bits.to(tl.float32, bitcast=True) * 1.329227995784916e36
    return weights


@triton.jit
def unpack_int4(values, scale, offset, BY_HAND: tl.constexpr):
    """values uint8 -> (low halves, high halves), each q * scale + offset."""
    if BY_HAND:
        low, high = tl.inline_asm_elementwise(
            _UNPACK_INT4,
            "=r,=r,=r,=r,r,r,r,r,r",
            [values, scale, offset],
            dtype=(tl.bfloat16, tl.bfloat16),
            is_pure=True,
            pack=4,
        )
    else:
        scale, offset = scale.to(tl.float32), offset.to(tl.float32)
        low, high = (values & 15).to(tl.float32) * scale + offset, (values >> 4).to(tl.float32) * scale + offset
    return low, high


@triton.jit
def fetch_early(steps, rows, groups, one, other):
    """Prefetch the scales or zero points of two strips before the loop that reads them. They are too small for the
    loop's pipeline to prefetch, and waiting for memory would take longer than the rest of an iteration."""
    group = tl.minimum(tl.arange(0, 64), groups - 1) * rows
    for strip in tl.static_range(2):
        address = steps + group + tl.min(one if strip == 0 else other)
        tl.inline_asm_elementwise(
            "{ prefetch.global.L2 [$1]; mov.b32 $0, 0; }", "=r,l", [address.to(tl.int64)], tl.int32, False, 1
        )


@triton.jit
def step(scales, zeros, group, rows, column, ZEROS: tl.constexpr, BY_HAND: tl.constexpr):
    """A group's scale and offset; the offset is -z * scale."""
    scale = tl.load(scales + group * rows + column)
    zero = tl.load(zeros + group * rows + column).to(tl.float32) * 0.0625 if ZEROS else 8.0
    offset = scale.to(tl.float32) * -zero
    if BY_HAND:
        offset = offset.to(tl.bfloat16)
    return scale, offset
