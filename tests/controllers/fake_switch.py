"""An OpenFlow 1.3 switch in a few lines, which can fall silent, refuse and hang up, for tests.

Message layouts: OpenFlow Switch Specification 1.3.5, section 7 (A.3 and A.4 in 1.3.0).
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

_VERSION = 4
_HELLO, _ERROR, _FEATURES_REQUEST, _FEATURES_REPLY = 0, 1, 5, 6
_FLOW_MOD, _PORT_MOD, _MULTIPART_REQUEST, _MULTIPART_REPLY = 14, 16, 18, 19
_BARRIER_REQUEST, _BARRIER_REPLY = 20, 21
_PORT_DESCRIPTION = 13
_LOCAL = 0xFFFFFFFE
_PORT_MOD_FAILED, _BAD_PORT = 7, 0


class FakeSwitch:
    """Switch `outside` with one port, `outside-fw1`."""

    def __init__(self, ofp_port: int) -> None:
        self.silent = False
        self.refuses = False
        self.hangs_up = False
        self.port_mods: list[tuple[int, int]] = []
        self._socket = socket.create_connection(("127.0.0.1", ofp_port))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> FakeSwitch:
        self._send(_HELLO, 1, b"")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                header = self._read(8)
                _version, kind, length, number = struct.unpack("!BBHI", header)
                self._answer(kind, number, header + self._read(length - 8))
            except OSError:
                return

    def _answer(self, kind: int, number: int, message: bytes) -> None:
        if kind == _FEATURES_REQUEST:
            self._send(_FEATURES_REPLY, number, struct.pack("!QIBB2xII", 1, 0, 2, 0, 0, 0))
        if kind == _PORT_MOD:
            self.port_mods.append(struct.unpack_from("!II", message, 24))
            if self.refuses:
                body = struct.pack("!HH", _PORT_MOD_FAILED, _BAD_PORT) + message
                self._send(_ERROR, number, body)
            if self.hangs_up:
                self._socket.shutdown(socket.SHUT_RDWR)
        if kind == _MULTIPART_REQUEST:
            body = struct.pack("!HH4x", _PORT_DESCRIPTION, 0)
            body += _port(_LOCAL, b"outside") + _port(1, b"outside-fw1")
            self._send(_MULTIPART_REPLY, number, body)
        if kind == _BARRIER_REQUEST and not (self.silent and self.port_mods):
            self._send(_BARRIER_REPLY, number, b"")

    def _send(self, kind: int, number: int, body: bytes) -> None:
        self._socket.sendall(struct.pack("!BBHI", _VERSION, kind, 8 + len(body), number) + body)

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self._socket.recv(length - len(data))
            if not more:
                raise OSError("hung up")
            data += more
        return data


def _port(number: int, name: bytes) -> bytes:
    mac = b"\x02\0\0\0\0\x01"
    return struct.pack("!I4x6s2x16s8I", number, mac, name, *[0] * 8)
