"""What a session needs to run a student's files: the lab's network, with these on its machines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from carplab.errors import UsageError
from carplab.labs.course import LAB_FILE
from carplab.labs.toml_file import parse_toml
from carplab.labs.workspace import Workspace
from carplab.network import as_plain
from carplab.scenario import Traffic
from carplab.session.client import Session
from carplab.session.spec import DEFAULT_TRAFFIC, Lab, SessionSpec

RESULTS = Path("results")


def session_spec(workspace: Workspace, out: Path = RESULTS, owner_pid: int = 0) -> SessionSpec:
    """Return the session of these files; UsageError for what is wrong in them.

    It does not wait for the network to settle: what a student starts with does not.
    """
    handout = workspace.handout
    lab = Lab(handout.lab.name, handout.student, workspace.folder.resolve(), handout.shown)
    return SessionSpec(
        title=f"lab-{handout.lab.name}",
        network=workspace.network(),
        out=out.resolve(),
        traffic=_traffic(workspace),
        settings={"lab": handout.lab.name, "student": handout.student},
        configurations=workspace.configurations(),
        scripts=workspace.scripts(),
        sync_sections=workspace.sync_sections(),
        wait_settled=False,
        lab=lab,
        owner_pid=owner_pid,
    )


def _traffic(workspace: Workspace) -> Traffic:
    lab = workspace.handout.lab
    words: dict[str, Any] = {
        key: None if value == "none" else value for key, value in lab.traffic.items()
    }
    if "flows" in words:
        words["flows"] = tuple(map(tuple, words["flows"]))
    try:
        return replace(DEFAULT_TRAFFIC, **words)
    except TypeError as error:
        raise UsageError(f"{lab.folder / LAB_FILE}: traffic: {error}") from None


def changed_routers(session: Session, workspace: Workspace) -> dict[str, str]:
    """Return the new configurations of the firewalls that run another one, or whose carpd failed.

    Comments count for nothing. UsageError with carpd's sentence for one that is wrong.
    """
    running = session.describe()["configurations"]
    failed = {
        name for name, how in session.status()["carpd"].items() if how.startswith("failed")
    }
    return {
        name: text
        for name, text in workspace.configurations().items()
        if text and (_table(text) != _table(running.get(name, "")) or name in failed)
    }


def _table(text: str) -> dict[str, Any]:
    return parse_toml(text, Path("carpd.toml"))


def needs_restart(session: Session, workspace: Workspace) -> bool:
    """Whether the files ask for what carpd's restart cannot give.

    Such as other switches, another translation or sharing of connections, scripts, or no carpd.
    """
    about = session.describe()
    segments = as_plain(workspace.network().segments)
    if (segments, workspace.scripts(), workspace.sync_sections()) != (
        about["network"]["segments"],
        about["scripts"],
        about["sync_sections"],
    ):
        return True
    running, wanted = _routers(session, workspace)
    texts = workspace.configurations()
    return any(
        bool(texts[name]) != any(each["virtual_hosts"] for each in router["interfaces"])
        or any(router[key] != wanted[name][key] for key in ("nat", "tcp_loose"))
        if name in texts
        else router != wanted[name]
        for name, router in running.items()
    )


def _routers(
    session: Session, workspace: Workspace
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the firewalls as they run and as the files have them, as plain data by name."""
    wanted = as_plain(session_spec(workspace).configured_network())
    both = (session.describe()["network"], wanted)
    running, files = ({each["name"]: each for each in plain["routers"]} for plain in both)
    return running, files
