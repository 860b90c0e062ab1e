"""Kernels in C for the processor: ReX, and the convolution that comes before it.

They are compiled when exeunt is installed, if there is a C compiler, and chosen by what the
processor has. Without them everything runs in torch or onnxruntime, with the same results to 1e-5.

    EXEUNT_NATIVE=0                       never use them
    EXEUNT_NATIVE=avx2                    use this instruction set (see `SIMD`)
    python -m exeunt.native               compile them again
"""

from exeunt.native.library import SIMD, Native, in_use, native, using

__all__ = ["SIMD", "Native", "in_use", "native", "using"]
