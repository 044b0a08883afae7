"""What a session is asked and answers: MessagePack with types, checked on arrival, no pickle.

Large data are views: of what is sent no copy is made before it is encoded, of what came none when it is decoded.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np

from ectoolkit.devices.profile import Profile

#: of a piece of a file
CHUNK_BYTES = 4 << 20
#: of a run at most: an empty one takes two bytes of a message, and 160 times as many in memory
MOST_ARRAYS = 4096
#: of a text that is shown
_MOST_CHARACTERS = 10_000

Arrays = Annotated[list[memoryview], msgspec.Meta(max_length=MOST_ARRAYS)]


class Message(msgspec.Struct, tag=True, forbid_unknown_fields=True):
    """Base of all."""


class Describe(Message):
    """Say what machine this is."""


class Begin(Message):
    """A deploy directory follows: its ``manifest.json``."""

    manifest: bytes


class Put(Message):
    """A piece of a file, the next one."""

    name: str
    data: memoryview


class Load(Message):
    """All is there: check it, and load it."""

    threads: int | None


class Run(Message):
    """Run once: float32 arrays in the deployment's layouts."""

    arrays: Arrays


class Layers(Message):
    """Time each layer."""

    runs: int


Request = Describe | Begin | Put | Load | Run | Layers


class Facts(Message):
    """The far side; `held` says what its kernel keeps native code from."""

    host: str
    machine: str
    cpus: int
    ectoolkit: str
    tvm: str
    limit_bytes: int
    held: str


class Done(Message):
    """Done."""


class Ran(Message):
    """Results of one run, and the seconds it took there."""

    arrays: Arrays
    seconds: float


class Profiled(Message):
    """Times of the layers."""

    profile: Profile


class Failure(Message):
    """It could not be done.

    Attributes:
        kind: name of the error's class in `ectoolkit.errors`.
        text: its message; `HERE` stands for the deploy directory.
    """

    kind: str
    text: str


Reply = Facts | Done | Ran | Profiled | Failure
_ANSWERS: dict[type, type[Message]] = {Describe: Facts, Begin: Done, Put: Done, Load: Done, Run: Ran, Layers: Profiled}
HERE = "{deploy}"

_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(Request)
_replies = msgspec.msgpack.Decoder(Reply)


def view_of(array: np.ndarray) -> memoryview:
    """The bytes of a float32 array, in C order, least byte first."""
    return np.ascontiguousarray(array, "<f4").reshape(-1).view(np.uint8).data


def encode(message: Message) -> bytes:
    """To bytes."""
    return _encoder.encode(message)


def decode_request(data: bytes | memoryview) -> Any:
    """A request; msgspec's error where it is none."""
    return _requests.decode(data)


def decode_reply(data: bytes | memoryview, request: type) -> Any:
    """The reply to a kind of request, or a `Failure`, whose texts can be shown.

    Raises:
        ValueError, msgspec.MsgspecError, RecursionError: it is neither.
    """
    reply = _replies.decode(data)
    if not isinstance(reply, (_ANSWERS[request], Failure)):
        raise ValueError(f"{type(reply).__name__}, expected {_ANSWERS[request].__name__}")
    texts = {name: value for name in reply.__struct_fields__ if isinstance(value := getattr(reply, name), str)}
    return msgspec.structs.replace(reply, **{name: _printable(text) for name, text in texts.items()})


def _printable(text: str) -> str:
    """Without what a terminal would take for a command, and not endless."""
    kept = [
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text[:_MOST_CHARACTERS]
    ]
    return "".join(kept) + "…" * (len(text) > _MOST_CHARACTERS)
