"""The two processes of the stream: the end that listens and the end that connects.

    python -m carplab.emulation.stream_process END WHO NAME ADDRESS PORT OUTPUT INTERVAL_S

END is `listen` (the server) or `connect` (the client), NAME the host's. WHO sends is `server`,
`client`, or `echo`: the client sends and the server sends back. One TCP connection carries numbered
messages, one each interval. Both ends write what they saw to OUTPUT, a line each, times in
nanoseconds of the monotonic clock:

    s SEQ TIME          given to the connection to be sent, at this time
    r SEQ TIME          received whole; of an echo only the client says so
    # event TIME NAME WORDS
                        "connected, congestion control cubic", "retransmitted ...", and how it
                        ended: "closed", "reset", "timed out", "unreachable"
    # stopped TIME      told to end: what comes later at the other end was our doing
    # ...               another remark: "listening", "realtime"

TCP is left to itself: its retransmission timeout, which doubles with each attempt, decides when
data flows again after an outage. Only Nagle's algorithm is off, so that a message leaves when it is
due (tcp(7), TCP_NODELAY). A connection that ends is a result: the process notes it and waits to be
stopped.
"""

from __future__ import annotations

import errno
import io
import os
import select
import socket
import struct
import sys
import time

from carplab.emulation.probe_process import NS, Recorder, Stop, prepare

MESSAGE = struct.Struct("!Q")  # the sequence number
CONNECT_DEADLINE_S = 10.0
_WAIT_S = 0.05  # how often an end that is idle looks at signals and its parent
_READ_BYTES = 65536

ENDINGS = {
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "timed out",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
}

# The beginning of struct tcp_info, linux/include/uapi/linux/tcp.h: state, ca_state, retransmits,
# probes, backoff, options, two of bits; then the retransmission timeout in microseconds.
_TCP_INFO = struct.Struct("@8BI")


class Connection:
    """One end of the connection, with what it still has to send."""

    def __init__(self, name: str, tcp: socket.socket, recorder: Recorder) -> None:
        self._name = name
        self._tcp = tcp
        self._recorder = recorder
        self._unsent = bytearray()
        self._unread = bytearray()
        self._retransmits = 0
        self.ended = False
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tcp.setblocking(False)
        control = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        self._note(f"connected, congestion control {control.rstrip(bytes(1)).decode()}")

    def wait(self, seconds: float) -> None:
        """Wait until there is something to read, or room for what could not be sent."""
        if self.ended:
            time.sleep(seconds)
            return
        select.select([self._tcp], [self._tcp] if self._unsent else [], [], seconds)

    def send(self, sequence: int, now_ns: int) -> None:
        """Give a numbered message to the connection."""
        self._recorder.add(b"s %d %d\n" % (sequence, now_ns))
        self._unsent += MESSAGE.pack(sequence)

    def read(self) -> bytes:
        """Return what has arrived; a stream of messages may be cut anywhere."""
        try:
            data = self._tcp.recv(_READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            self._end(error)
            return b""
        if not data:
            self._end(None)
        return data

    def receive(self) -> None:
        """Record the messages that have arrived whole."""
        self._unread += self.read()
        now_ns = time.monotonic_ns()
        whole = len(self._unread) // MESSAGE.size * MESSAGE.size
        for (sequence,) in MESSAGE.iter_unpack(self._unread[:whole]):
            self._recorder.add(b"r %d %d\n" % (sequence, now_ns))
        del self._unread[:whole]

    def send_back(self) -> None:
        """Send what has arrived to where it came from."""
        self._unsent += self.read()

    def push(self) -> None:
        """Hand to TCP what it takes, and note when it had to send something again."""
        if self.ended:
            return
        try:
            if self._unsent:
                del self._unsent[: self._tcp.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError as error:
            self._end(error)
            return
        self._note_retransmission()

    def _note_retransmission(self) -> None:
        """A retransmission by timeout; `retransmits` starts over when something is acknowledged."""
        info = self._tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        _state, _ca_state, retransmits, *_, timeout_us = _TCP_INFO.unpack(info)
        if retransmits > self._retransmits:
            self._note(f"retransmitted ({retransmits}), next in {timeout_us / 1e6:.3f} s")
        self._retransmits = retransmits

    def _end(self, error: OSError | None) -> None:
        self.ended = True
        number = error.errno if error else None
        words = ENDINGS.get(number or 0, f"broken: {error}") if error else "closed"
        self._note(words)

    def _note(self, words: str) -> None:
        line = f"# event {time.monotonic_ns()} {self._name} {words}\n"
        self._recorder.add(line.encode())


def converse(connection: Connection, end: str, who: str, interval_ns: int, run: Run) -> None:
    """Send and receive what this end does, until asked to stop.

    Messages are due on deadlines that do not drift; one missed by a whole interval is left out.
    """
    sends = (end == "listen") == (who == "server")
    echoes = end == "listen" and who == "echo"
    sequence = 0
    due_ns = time.monotonic_ns()
    while run.goes_on():
        wait_s = (due_ns - time.monotonic_ns()) / NS if sends else _WAIT_S
        connection.wait(max(0.0, min(wait_s, _WAIT_S)))
        now_ns = time.monotonic_ns()
        if sends and now_ns >= due_ns:
            if not connection.ended:
                connection.send(sequence, now_ns)
                sequence += 1
            due_ns += ((now_ns - due_ns) // interval_ns + 1) * interval_ns
        if not connection.ended:
            connection.send_back() if echoes else connection.receive()
        connection.push()


class Run:
    """Whether to go on: not after a signal, nor when the process that started this one is gone."""

    def __init__(self, recorder: Recorder) -> None:
        self._stop = Stop()
        self._recorder = recorder

    def goes_on(self) -> bool:
        self._recorder.flush_if_due(time.monotonic_ns())
        return not self._stop.asked and not self._recorder.orphaned


def listen(address: str, port: int, recorder: Recorder, run: Run) -> socket.socket | None:
    """Wait for the client; None when asked to stop before it came."""
    with socket.create_server((address, port), family=_family(address)) as server:
        recorder.add(b"# listening\n")
        recorder.flush()
        while run.goes_on():
            if select.select([server], [], [], _WAIT_S)[0]:
                return server.accept()[0]
    return None


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def main(arguments: list[str]) -> int:
    """Run one end; 1 and a sentence on standard error when it cannot go on."""
    end, who, name, address, port, output, interval_s = arguments
    try:
        with io.FileIO(output, "wb") as file:
            recorder = Recorder(file)
            run = Run(recorder)
            if end == "listen":
                tcp = listen(address, int(port), recorder, run)
            else:
                tcp = socket.create_connection((address, int(port)), CONNECT_DEADLINE_S)
            if tcp is not None:
                prepare(recorder)
                connection = Connection(name, tcp, recorder)
                converse(connection, end, who, round(float(interval_s) * NS), run)
                recorder.add(b"# stopped %d\n" % time.monotonic_ns())
                recorder.flush()
                tcp.close()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        where = f"{address} port {port}, {output}"
        print(f"stream: {reason} ({where})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
