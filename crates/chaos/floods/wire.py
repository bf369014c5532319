"""A connection of HTTP/2 that sends whatever it is told to, and remembers what it was told in return."""

import select
import socket
import time

from hpack import Decoder, Encoder
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = 9
REFUSED_STREAM = 7
RESOURCE_EXHAUSTED = "8"


class Gone(Exception):
    """The server has closed the connection."""


class Wire:
    def __init__(self, address, session, story, settings=None):
        self.address, self.session, self.story, self.settings = address, session, story, settings
        self.socket = socket.create_connection(address, timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.buffer, self.decoder = b"", Decoder()
        self.closed = False
        self.send(PREFACE + SettingsFrame(0, settings=settings or {}).serialize())

    def another(self):
        """One more connection of the same kind."""
        self.story["connections"] += 1
        return Wire(self.address, self.session, self.story, self.settings)

    def method(self, method, *more):
        """The header block of a call. It does not depend on others, so that it can be sent again as it is."""
        block = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "flood"),
            (":path", f"/accesstoken.v1.AccessTokenService/{method}"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("authorization", f"Bearer {self.session}"),
            *more,
        ]
        encoder = Encoder()
        encoder.header_table_size = 0
        return encoder.encode(block)

    def call(self, stream, block, flags=("END_HEADERS",)):
        return HeadersFrame(stream, data=block, flags=flags).serialize()

    def send(self, octets, patience=5.0):
        """Sends all of it, and reads what comes meanwhile. False when the server takes no more of it in time."""
        end, view = time.monotonic() + patience, memoryview(octets)
        while view:
            if self.closed:
                raise Gone
            readable, writable, _ = select.select([self.socket], [self.socket], [], max(0, end - time.monotonic()))
            if readable:
                self.read()
            elif not writable:
                return False
            if writable:
                try:
                    count = self.socket.send(view)
                except BlockingIOError:
                    continue
                except OSError:
                    self.read()
                    self.close()
                    raise Gone from None
                self.story["sent"] += count
                view = view[count:]
        return True

    def listen(self, seconds):
        """Reads for so long, or until the server has closed the connection."""
        end = time.monotonic() + seconds
        while not self.closed and (left := end - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                self.read()

    def await_answer(self, patience=2.0):
        """Reads until there is one more answer."""
        end, before = time.monotonic() + patience, self.story["answers"]
        while not self.closed and self.story["answers"] == before and time.monotonic() < end:
            self.listen(0.01)

    def read(self):
        try:
            octets = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        if not octets:
            self.close()
        self.buffer += octets
        while len(self.buffer) >= HEAD:
            try:
                frame, length = Frame.parse_frame_header(memoryview(self.buffer[:HEAD]))
                if len(self.buffer) < HEAD + length:
                    break
                frame.parse_body(memoryview(self.buffer[HEAD : HEAD + length]))
            except HyperframeError as error:
                raise SystemExit(f"the server said something odd: {error}") from error
            self.buffer = self.buffer[HEAD + length :]
            self.hear(frame)

    def close(self):
        self.story["closed"] += not self.closed
        self.closed = True

    def hear(self, frame):
        if isinstance(frame, HeadersFrame):
            self.story["answers"] += 1
            self.story["overloaded"] += ("grpc-status", RESOURCE_EXHAUSTED) in self.decoder.decode(frame.data)
        elif isinstance(frame, RstStreamFrame):
            self.story["resets"] += 1
            self.story["refused"] += frame.error_code == REFUSED_STREAM
        elif isinstance(frame, GoAwayFrame):
            self.story[f"GOAWAY {frame.error_code}"] += 1
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            # A connection that does not answer is closed for that reason only.
            self.answer(PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]).serialize())

    def answer(self, octets):
        try:
            self.socket.send(octets)
        except OSError:
            pass
