from __future__ import annotations

from pathlib import Path

from carplab.live.session_source import recorded_events
from tests.live.scenes import event

RECORDED = """t_s,source,kind,segment,vhid,detail
-3.000000,fw1,process,,,carpd started (pid 165)
0.500000,fw1,carp,outside,1,BACKUP -> MASTER (master timed out)
0.600000,fw1,se"""


def test_what_was_recorded_is_told_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(RECORDED)
    assert list(recorded_events(tmp_path)) == [
        event(-3.0, "fw1", "process", detail="carpd started (pid 165)"),
        event(0.5, "fw1", "carp", "outside", 1, "BACKUP -> MASTER (master timed out)"),
    ]
