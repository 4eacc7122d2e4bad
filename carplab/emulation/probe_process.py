"""The two processes of the UDP probe: a sender on the client's host, an echo on the server's.

    probe_process.py echo BIND_ADDRESS PORT TOKEN OUTPUT
    probe_process.py send SERVER_ADDRESS PORT TOKEN OUTPUT INTERVAL_S

The sender sends a numbered packet each interval, the echo sends each one back. Both write what they
saw to OUTPUT, a line each, times in nanoseconds of the monotonic clock:

    s SEQ TIME     sent, at this time
    r SEQ TIME     received, stamped by the kernel
    # ...          a remark: "listening", "sending", "realtime", "realtime given up", "skipped N"

The file is written every 50 ms, so that little is lost when a process is killed. Both end on
SIGTERM and SIGINT, and by themselves when the process that started them is gone.

This file is run by its path with an isolated interpreter and uses the standard library only: it
starts in 20 ms, and takes as little as Python can from processors that a software switch needs too.

Stamps. The kernel stamps a received packet with the wall clock, long before a busy process gets to
read it (SO_TIMESTAMPNS, Documentation/networking/timestamping.rst; SO_TIMESTAMPING's software
stamps are the same ones). Each batch of packets is converted with an offset between the clocks that
is measured right after it was read: see :class:`StampClock`.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import select
import signal
import socket
import struct
import sys
import time

# linux/include/uapi/asm-generic/socket.h; Python's socket module does not name it before 3.14.
SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)

MAGIC = b"carp"
PACKET = struct.Struct("!4s8sQ")  # magic, token of the run, sequence number
_RECEIVE_BUFFER_BYTES = 512 * 1024  # bounded; half a second of packets at the default rmem_max

FLUSH_NS = 50_000_000
PRIORITY_CHECK_NS = 500_000_000
MOST_REALTIME_SHARE = 0.5  # of one processor
READ_EVERY = 8  # packets sent between two looks at what came back, stamped by then
LAST_REPLIES_S = 0.25  # how long the sender listens after its last packet
_WAIT_S = 0.05  # an idle echo looks at signals and its parent this often

NS = 1_000_000_000


class StampClock:
    """Converts the kernel's wall-clock stamps to the monotonic clock, in nanoseconds.

    The wall clock and the monotonic clock run at the same rate (adjtime slews both), so that their
    offset changes only when the wall clock is set. It is measured for each batch of packets: the
    wall clock is read between two readings of the monotonic clock, and the error is at most half of
    the time between these (below a microsecond; the tightest of up to three tries).

    When the offset has changed since the last batch, a stamp may be from before or after the
    change. The packet arrived after the socket was last found empty, and before now; the offset
    that puts it there is the right one. Where both do, the change was smaller than the time between
    the batches, and so is the error. A stamp is never put outside of those limits.
    """

    def __init__(self) -> None:
        self._offset_ns = _measure_offset_ns()
        self._empty_ns = time.monotonic_ns()

    def convert(self, stamps_ns: list[int], empty_ns: int) -> list[int]:
        """The monotonic times of a batch that was read until the socket was empty, at that time."""
        former_ns, self._offset_ns = self._offset_ns, _measure_offset_ns()
        earliest_ns, self._empty_ns = self._empty_ns, empty_ns
        latest_ns = time.monotonic_ns()
        times_ns = []
        for stamp_ns in stamps_ns:
            time_ns = stamp_ns - self._offset_ns
            if not earliest_ns <= time_ns <= latest_ns:
                if earliest_ns <= stamp_ns - former_ns <= latest_ns:
                    time_ns = stamp_ns - former_ns
                time_ns = min(max(time_ns, earliest_ns), latest_ns)
            times_ns.append(time_ns)
        return times_ns


def _measure_offset_ns() -> int:
    """Wall clock minus monotonic clock."""
    best_ns, narrowest_ns = 0, NS
    for _ in range(3):
        before_ns = time.monotonic_ns()
        wall_ns = time.time_ns()
        after_ns = time.monotonic_ns()
        if after_ns - before_ns < narrowest_ns:
            narrowest_ns = after_ns - before_ns
            best_ns = wall_ns - (before_ns + after_ns) // 2
        if narrowest_ns < 2_000:
            break
    return best_ns


class _Priority:
    """Gives the real-time priority back where the machine is too slow for it.

    Real time means ahead of the switch, the controller and carpd: a probe that needs more than half
    of a processor would starve what it measures.
    """

    def __init__(self) -> None:
        self._since_ns = time.monotonic_ns()
        self._used_ns = time.process_time_ns()

    def is_too_heavy(self, now_ns: int) -> bool:
        """Look at the last PRIORITY_CHECK_NS once they are over; True when it was given back."""
        elapsed_ns = now_ns - self._since_ns
        if elapsed_ns < PRIORITY_CHECK_NS or os.sched_getscheduler(0) != os.SCHED_FIFO:
            return False
        used_ns = time.process_time_ns() - self._used_ns
        self._since_ns, self._used_ns = now_ns, self._used_ns + used_ns
        if used_ns <= elapsed_ns * MOST_REALTIME_SHARE:
            return False
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        return True


class Recorder:
    """Collects lines and writes them to the raw file now and then."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._lines: list[bytes] = []
        self._flushed_ns = time.monotonic_ns()
        self._parent = os.getppid()
        self._priority = _Priority()
        self.orphaned = False

    def add(self, line: bytes) -> None:
        self._lines.append(line)

    def flush_if_due(self, now_ns: int) -> None:
        """Write what has gathered, and see whether this process's parent is still there."""
        if now_ns - self._flushed_ns >= FLUSH_NS:
            self.flush()
            self._flushed_ns = now_ns
            self.orphaned = os.getppid() != self._parent
            if self._priority.is_too_heavy(now_ns):
                self.add(b"# realtime given up\n")

    def flush(self) -> None:
        self._file.write(b"".join(self._lines))
        self._lines.clear()


class Stop:
    """Becomes true on SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, _number: int, _frame: object) -> None:
        self.asked = True


class Receiver:
    """Reads what has arrived at a socket. Packets of strangers and of other runs are ignored."""

    def __init__(
        self, udp: socket.socket, token: bytes, recorder: Recorder, *, reply: bool
    ) -> None:
        self._udp = udp
        self._token = token
        self._recorder = recorder
        self._reply = reply
        self._clock = StampClock()

    def read_all(self) -> None:
        """Read, echo where that is wanted, and record until the socket is empty."""
        sequences, stamps_ns = [], []
        while True:
            looked_ns = time.monotonic_ns()
            try:
                data, ancillary, _, sender = self._udp.recvmsg(PACKET.size + 1, _ANCILLARY_BYTES)
            except BlockingIOError:
                break
            sequence = read_packet(data, self._token)
            if sequence is None:
                continue
            if self._reply:
                _send(self._udp, data, sender)
            sequences.append(sequence)
            stamps_ns.append(_stamp_ns(ancillary))
        times_ns = self._clock.convert(stamps_ns, looked_ns)
        for sequence, time_ns in zip(sequences, times_ns, strict=True):
            self._recorder.add(b"r %d %d\n" % (sequence, time_ns))


def echo(address: str, port: int, token: bytes, recorder: Recorder) -> None:
    """Send each packet of this run back to where it came from, until asked to stop."""
    stop = Stop()
    with _open_socket(address) as udp:
        udp.bind((address, port))
        receiver = Receiver(udp, token, recorder, reply=True)
        recorder.add(b"# listening\n")
        prepare(recorder)
        while not stop.asked and not recorder.orphaned:
            select.select([udp], [], [], _WAIT_S)
            receiver.read_all()
            recorder.flush_if_due(time.monotonic_ns())


def send(address: str, port: int, token: bytes, recorder: Recorder, interval_s: float) -> None:
    """Send a packet each interval, on deadlines that do not drift, until asked to stop.

    A deadline that is missed by a whole interval is left out, not made up for: a burst would
    measure something else. A send that the host refuses (no route, no carrier) counts as sent, and
    is lost.
    """
    stop = Stop()
    with _open_socket(address) as udp:
        receiver = Receiver(udp, token, recorder, reply=False)
        recorder.add(b"# sending\n")
        prepare(recorder)
        interval_ns = round(interval_s * NS)
        sequence = skipped = 0
        due_ns = time.monotonic_ns()
        while not stop.asked and not recorder.orphaned:
            _sleep_until(due_ns)
            packet = PACKET.pack(MAGIC, token, sequence)
            now_ns = time.monotonic_ns()
            _send(udp, packet, (address, port))
            recorder.add(b"s %d %d\n" % (sequence, now_ns))
            sequence += 1
            if sequence % READ_EVERY == 0:
                receiver.read_all()
                recorder.flush_if_due(now_ns)
            late = (time.monotonic_ns() - due_ns) // interval_ns
            skipped += late
            due_ns += (late + 1) * interval_ns
        _read_last_replies(receiver)
        recorder.add(b"# skipped %d\n" % skipped)


def _read_last_replies(receiver: Receiver) -> None:
    deadline_s = time.monotonic() + LAST_REPLIES_S
    while time.monotonic() < deadline_s:
        time.sleep(0.01)
        receiver.read_all()


def _sleep_until(due_ns: int) -> None:
    wait_ns = due_ns - time.monotonic_ns()
    if wait_ns > 0:
        time.sleep(wait_ns / NS)


def _send(udp: socket.socket, packet: bytes, target: tuple[str, int]) -> None:
    """Send, or lose the packet: no route and no carrier are part of what is measured."""
    with contextlib.suppress(OSError):
        udp.sendto(packet, target)


def read_packet(data: bytes, token: bytes) -> int | None:
    """The sequence number of a packet of this run; None for any other packet."""
    if len(data) != PACKET.size:
        return None
    magic, its_token, sequence = PACKET.unpack(data)
    return sequence if magic == MAGIC and its_token == token else None


def _stamp_ns(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIMESPEC.unpack(data[: _TIMESPEC.size])
            return int(seconds * NS + nanoseconds)
    raise OSError("the kernel did not stamp a received packet (SO_TIMESTAMPNS)")


def _open_socket(address: str) -> socket.socket:
    """A UDP socket with stamps. Not connected: else an ICMP error would swallow the next packet."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    udp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    udp.setblocking(False)
    return udp


def prepare(recorder: Recorder) -> None:
    """Be punctual: no garbage collection (nothing here makes cycles), and ahead of other processes.

    The lowest real-time priority is refused to a process without the right, or in some containers;
    then the probe runs like any other process and its gaps are a little longer.
    """
    gc.disable()
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        recorder.add(b"# realtime\n")
    except OSError as error:
        recorder.add(b"# no realtime: %s\n" % str(error.strerror).encode())
    recorder.flush()


def main(arguments: list[str]) -> int:
    """Run one side; 1 and a sentence on standard error when it cannot go on."""
    side, address, port, token, output = arguments[:5]
    try:
        with io.FileIO(output, "wb") as file:
            recorder = Recorder(file)
            if side == "send":
                send(address, int(port), bytes.fromhex(token), recorder, float(arguments[5]))
            else:
                echo(address, int(port), bytes.fromhex(token), recorder)
            recorder.flush()
    except OSError as error:
        where = f"{address} port {port}, {output}"
        print(f"probe: {error.strerror or error} ({where})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
