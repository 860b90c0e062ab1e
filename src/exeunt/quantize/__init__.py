"""Networks in integers: int8 tensors and weights, 32-bit sums, and what they give, to the bit."""

from exeunt.quantize.aware import QuantizationAware
from exeunt.quantize.graph import QuantizedGraph, run_quantized
from exeunt.quantize.net import QuantizedNet
from exeunt.quantize.policy import IntegerPolicy
from exeunt.quantize.quantize import quantize
from exeunt.quantize.ranges import Range, observe_ranges, range_images
from exeunt.quantize.scale import Factor, Scale

__all__ = [
    "Factor",
    "IntegerPolicy",
    "QuantizationAware",
    "QuantizedGraph",
    "QuantizedNet",
    "Range",
    "Scale",
    "observe_ranges",
    "quantize",
    "range_images",
    "run_quantized",
]
