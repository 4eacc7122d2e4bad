"""setup.py, constraints.txt and pyproject.toml agree; whatever gets installed is pinned."""

from __future__ import annotations

import importlib.metadata
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("carplab", "topo", "controllers", "experiments")


@pytest.fixture(scope="module")
def metadata() -> dict[str, Any]:
    """What setup.py gives to setuptools."""
    given: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, "setup", given.update)
        runpy.run_path(str(ROOT / "setup.py"))
    return given


@pytest.fixture(scope="module")
def pins() -> dict[str, Requirement]:
    """The lines of constraints.txt by canonical name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def pinned_version(requirement: Requirement) -> str:
    match = re.fullmatch(r"==([^*,]+)", str(requirement.specifier))
    assert match is not None, f"{requirement} is not an exact version"
    return match.group(1)


def direct_requirements(metadata: dict[str, Any]) -> list[Requirement]:
    lines = [*metadata["install_requires"]]
    for extra in metadata["extras_require"].values():
        lines.extend(extra)
    return [Requirement(line) for line in lines]


def test_constraints_are_exact(pins: dict[str, Requirement]) -> None:
    assert pins
    for requirement in pins.values():
        assert pinned_version(requirement)


def test_every_dependency_is_pinned_within_its_range(
    metadata: dict[str, Any], pins: dict[str, Requirement]
) -> None:
    for requirement in direct_requirements(metadata):
        version = pinned_version(pins[canonicalize_name(requirement.name)])
        assert requirement.specifier.contains(version), f"{requirement} excludes {version}"


def test_every_dependency_of_a_dependency_is_pinned(
    metadata: dict[str, Any], pins: dict[str, Requirement]
) -> None:
    """Walk what is installed for this Python, with the extras that were asked for."""
    seen: set[tuple[str, str]] = set()
    pending = [(requirement, "") for requirement in direct_requirements(metadata)]
    while pending:
        requirement, extra = pending.pop()
        name = canonicalize_name(requirement.name)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if not wanted or (name, extra) in seen:
            continue
        seen.add((name, extra))
        assert name in pins, f"{name} is not in constraints.txt"
        for line in importlib.metadata.requires(name) or []:
            for asked in ("", *requirement.extras):
                pending.append((Requirement(line), asked))


def test_the_build_uses_pinned_tools(pins: dict[str, Requirement]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for line in project["build-system"]["requires"]:
        assert Requirement(line).specifier == pins[Requirement(line).name].specifier


def test_commands_and_pythons(metadata: dict[str, Any]) -> None:
    assert metadata["name"] == "carplab"
    assert metadata["python_requires"] == ">=3.10,<3.14"
    assert metadata["entry_points"]["console_scripts"] == [
        "carplab = carplab.cli:main",
        "carpd = carplab.daemon.main:main",
    ]


def test_every_module_is_in_a_package_that_gets_installed(metadata: dict[str, Any]) -> None:
    for top in PACKAGES:
        for path in (ROOT / top).rglob("*.py"):
            package = ".".join(path.parent.relative_to(ROOT).parts)
            assert package in metadata["packages"], f"{package} lacks an __init__.py"


def test_every_other_file_of_a_package_gets_installed(metadata: dict[str, Any]) -> None:
    for top in PACKAGES:
        for path in (ROOT / top).rglob("*.*"):
            if path.suffix in {".py", ".pyc"}:
                continue
            folder = next(each for each in path.parents if (each / "__init__.py").exists())
            package = ".".join(folder.relative_to(ROOT).parts)
            patterns = metadata["package_data"].get(package, [])
            inside = path.relative_to(folder)
            assert any(inside.match(pattern) for pattern in patterns), f"{path} is left out"
