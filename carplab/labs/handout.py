"""A lab as one student gets it: his values, his network, his files.

The files in start/ and solution/ are templates (`fw1.toml.j2` becomes `fw1.toml`), and so is the
lab's README.md. In all of them stand for

    {{ site }} ...                   what lab.toml draws and derives, by its name
    {{ student }}, {{ lab }}         the student's ID, the lab's number
    {{ own("fw1", "outside") }}      a machine's own IPv4 address on a segment
    {{ virtual("outside") }}         the virtual IPv4 address there
    {{ prefix("outside") }}          the segment's IPv4 prefix
    {{ virtual_mac(vhid) }}          the virtual MAC address of a vhid
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jinja2

from carplab.carp.packet import virtual_mac
from carplab.emulation.experiment import Options
from carplab.errors import CarplabError, UsageError
from carplab.labs.course import LAB_FILE, README_FILE, SOLUTION, START, CourseLab
from carplab.labs.drawing import Value
from carplab.network import Network
from carplab.settings import apply_settings
from topo.firewall_pair import firewall_pair

SUFFIX = ".j2"


@dataclass(frozen=True)
class Handout:
    """A lab with the values of one student (an ID as `drawing.student_id` returns it)."""

    lab: CourseLab
    student: str

    @cached_property
    def values(self) -> dict[str, Value]:
        """What is drawn for the student, and what is derived from it."""
        values = {each.name: each.draw(self.student, self.lab.name) for each in self.lab.drawn}
        for name, expression in self.lab.derived.items():
            with _naming(self.lab.folder / LAB_FILE):
                value: Any = _ENVIRONMENT.compile_expression(expression, False)(**values)
                values[name] = value
        return values

    @property
    def shown(self) -> dict[str, Value]:
        """The values that the student is told."""
        hidden = {each.name for each in self.lab.drawn if each.hidden}
        return {name: value for name, value in self.values.items() if name not in hidden}

    def network(self, settings: Iterable[str] = ()) -> Network:
        """Return the lab's network, with these settings after its own; UsageError if impossible."""
        words = {key: self._filled(value) for key, value in self.lab.network.items()}
        defaults = Options()
        pair = firewall_pair(
            words.get("firewalls", defaults.firewalls),
            design=words.get("design", defaults.design),
            family=words.get("family", defaults.family),
            site=int(words.get("site", 0)),
        )
        dialect = words.get("dialect", defaults.dialect)
        return apply_settings(pair, [f"dialect={dialect}", *words.get("settings", ()), *settings])

    def readme(self) -> str:
        """Return the text that the student works from."""
        return self._rendered(self.lab.folder / README_FILE)

    def start(self) -> dict[str, str]:
        """Return the files that the student starts with, name -> text."""
        return self._files(START)

    def solution(self) -> dict[str, str]:
        """Return the files as they should become, name -> text; CarplabError if there are none."""
        if not (self.lab.folder / SOLUTION).is_dir():
            raise CarplabError(f"lab {self.lab.name} has no folder {SOLUTION} here")
        return {**self.start(), **self._files(SOLUTION)}

    def _files(self, part: str) -> dict[str, str]:
        templates = sorted((self.lab.folder / part).glob(f"*{SUFFIX}"))
        return {path.name.removesuffix(SUFFIX): self._rendered(path) for path in templates}

    def _filled(self, value: Any) -> Any:
        """Return a value of lab.toml with the drawn ones in it."""
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        if not isinstance(value, str):
            return value
        with _naming(self.lab.folder / LAB_FILE):
            return _template(value).render(self.values)

    def _rendered(self, path: Path) -> str:
        with _naming(path):
            return _template(path.read_text(encoding="utf-8")).render(self._words)

    @cached_property
    def _words(self) -> Mapping[str, Any]:
        network = self.network()
        return {
            **self.values,
            "student": self.student,
            "lab": self.lab.number,
            "own": lambda machine, segment: _own(network, machine, segment),
            "virtual": lambda segment: _virtual(network, segment),
            "prefix": lambda segment: str(network.segment(segment).prefixes[0]),
            "virtual_mac": virtual_mac,
        }


def _own(network: Network, machine: str, segment: str) -> str:
    if machine in {router.name for router in network.routers}:
        return str(network.router(machine).interface(segment).addresses[0].ip)
    return str(network.host(machine).addresses[0].ip)


def _virtual(network: Network, segment: str) -> str:
    interface = network.routers[0].interface(network.segment(segment).name)
    return str(interface.virtual_hosts[0].addresses[0])


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what a template does wrong into one sentence that names its file."""
    try:
        yield
    except (jinja2.TemplateError, TypeError, KeyError) as error:
        line = f" line {error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise UsageError(f"{path}{line}: {error}") from None


_ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,
)


@cache
def _template(text: str) -> jinja2.Template:
    """Return the template, which many students share."""
    return _ENVIRONMENT.from_string(text)
