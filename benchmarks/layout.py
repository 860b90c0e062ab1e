"""Convolution weights channels first and channels last, in eager PyTorch on the CPU.

    python benchmarks/layout.py MODEL [--size 224]

MODEL is weights or a network's name. Milliseconds for each image, all exits, one thread; the two
layouts take turns, and the minimum counts.
"""

from __future__ import annotations

import argparse
import copy
import time

import torch

from exeunt.inference import infer
from exeunt.policies import Full
from exeunt.trained import Network


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--size", type=int, help="of the images; by default the model's own")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    network = Network.open(asked.model)
    first = network.net.eval()
    last = copy.deepcopy(first).to(memory_format=torch.channels_last)
    height, width = (asked.size, asked.size) if asked.size else network.image_size
    for batch, repeats in ((1, 60), (32, 8)):
        images = torch.randn(batch, first.in_chans, height, width)
        least = {"channels first": float("inf"), "channels last": float("inf")}
        for repeat in range(repeats + 1):
            for name, net in zip(least, (first, last), strict=True):
                start = time.perf_counter()
                infer(net, images, Full())
                if repeat:
                    least[name] = min(least[name], 1e3 * (time.perf_counter() - start) / batch)
        ratio = least["channels last"] / least["channels first"]
        said = ", ".join(f"{name} {ms:.2f} ms" for name, ms in least.items())
        print(f"batch {batch}: {said}, ratio {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
