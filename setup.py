"""Installs the distribution `carplab` with its two commands, `carplab` and `carpd`.

Versions are ranges here and exact in constraints.txt, which `make setup` installs with.
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def read_version() -> str:
    """The version, read without importing the package (its dependencies are not there yet)."""
    source = (HERE / "carplab" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"', source, re.MULTILINE)
    if match is None:
        raise ValueError("carplab/__init__.py does not set __version__")
    return match.group(1)


def read_long_description() -> str:
    readme = HERE / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


setup(
    name="carplab",
    version=read_version(),
    description="Emulate, break and measure networks whose routers and firewalls run CARP",
    long_description=read_long_description(),
    long_description_content_type="text/markdown",
    author="carplab authors",
    license="BSD-2-Clause",
    classifiers=[
        "Environment :: Console",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: BSD License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: System :: Networking",
    ],
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["carplab", "carplab.*", "topo", "controllers", "experiments"]),
    package_data={
        "carplab": ["py.typed"],
        "carplab.analysis": ["*.css", "*.j2"],
        "carplab.live": ["static/*"],
    },
    install_requires=[
        "aiohttp>=3.9",
        "bokeh>=3.4",
        "jinja2>=3.1",
        "matplotlib>=3.10",
        "numpy>=1.26",
        "pandas>=2.2,<3",
        "pillow>=10",
        "rich>=13",
        "scapy>=2.6",
        'tomli>=2; python_version < "3.11"',
        "weasyprint>=62",
    ],
    extras_require={
        # Ryu 4.34 imports pkg_resources and builds only with setuptools < 68.
        "controller": ["eventlet>=0.36", "os-ken>=4,<5", "ryu==4.34", "setuptools<68"],
        "dev": [
            "furo>=2024.8",
            "hypothesis>=6.100",
            "import-linter>=2.4",
            "ipykernel>=6.29",
            "mypy>=1.13",
            "myst-parser>=4",
            "nbclient>=0.10",
            "nbformat>=5.10",
            "pandas-stubs>=2.2",
            "playwright>=1.45",
            "pypdf>=4",
            "pytest>=8",
            "ruff>=0.9",
            "sphinx>=8",
            "sphinx-argparse>=0.5",
            "tox>=4.20",
        ],
    },
    entry_points={
        "console_scripts": [
            "carplab = carplab.cli:main",
            "carpd = carplab.daemon.main:main",
        ],
    },
)
