"""The CMSIS-Pack descriptions of an exported folder, by the rules of PACK.xsd."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from exeunt.export.c.host import run_tool

ORDER = [
    *("vendor", "name", "description", "url", "license", "releases", "requirements"),
    *("conditions", "components"),
]
"""Elements of a package that are used here, as the schema orders them."""
CATEGORIES = {"header", "include", "sourceC"}
NAME = re.compile(r"[\-_A-Za-z0-9]+")
VERSION = re.compile(r"\d+\.\d+\.\d+")


def packs(everything: Path) -> dict[str, Path]:
    one, two = everything / "one", everything / "two"
    return {"exeunt_runtime": one / "exeunt_runtime", "one": one / "one", "two": two / "two"}


def described(folder: Path) -> ElementTree.Element:
    (path,) = folder.glob("*.pdsc")
    return ElementTree.parse(path).getroot()


def test_descriptions_follow_the_schema(everything: Path) -> None:
    for name, folder in packs(everything).items():
        package = described(folder)
        assert package.tag == "package"
        assert re.fullmatch(r"\d+\.\d+\.\d+", package.attrib["schemaVersion"])
        found = [element.tag for element in package]
        assert found == [tag for tag in ORDER if tag in found]
        assert {"vendor", "name", "description", "url", "releases"} <= set(found)
        vendor, called = package.findtext("vendor"), package.findtext("name")
        assert (folder / f"{vendor}.{called}.pdsc").is_file()
        assert called == name
        assert NAME.fullmatch(called)
        assert all(VERSION.fullmatch(r.attrib["version"]) for r in package.iter("release"))
        if (license_file := package.findtext("license")) is not None:
            assert (folder / license_file).is_file()
        conditions = {condition.attrib["id"] for condition in package.iter("condition")}
        for component in package.iter("component"):
            assert {"Cclass", "Cgroup", "Csub", "Cversion"} <= component.attrib.keys()
            assert component.attrib.get("condition", "Runtime") in conditions | {"Runtime"}
        for file in package.iter("file"):
            assert file.attrib["category"] in CATEGORIES
            assert (folder / file.attrib["name"]).exists()


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no compiler")
def test_the_components_make_a_program(everything: Path, tmp_path: Path) -> None:
    """Of both networks, resolved as a project does: what a component requires comes with it."""
    known = {}
    for folder in packs(everything).values():
        package = described(folder)
        for component in package.iter("component"):
            needed = [r.attrib["Csub"] for r in package.iter("require")]
            known[component.attrib["Csub"]] = (folder, component, needed)
    chosen = {"one", "two"} | {needed for name in ("one", "two") for needed in known[name][2]}
    assert chosen == {"one", "two", "Runtime"}
    sources, includes = [str(everything / name) for name in ("both.c", "main.c")], []
    for name in chosen:
        folder, component, _ = known[name]
        for file in component.iter("file"):
            place = str(folder / file.attrib["name"])
            if file.attrib["category"] == "sourceC":
                sources.append(place)
            elif file.attrib["category"] == "include":
                includes.append(f"-I{place}")
    program = str(tmp_path / "program")
    run_tool(["cc", "-std=c99", *includes, *sources, "-o", program])
    assert run_tool([program]) == ""
