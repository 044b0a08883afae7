"""What a session is asked and answers: MessagePack with types, checked on arrival, no pickle.

Large data are views: of what is sent no copy is made before it is encoded, of what came none when it is decoded.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

#: of a piece of a file
CHUNK_BYTES = 4 << 20


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

    arrays: list[memoryview]


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

    arrays: list[memoryview]
    seconds: float


class Profiled(Message):
    """A `Profile` as MessagePack."""

    profile: bytes


class Failure(Message):
    """It could not be done.

    Attributes:
        kind: name of the error's class in `ectoolkit.errors`.
        text: its message; `HERE` stands for the deploy directory.
    """

    kind: str
    text: str


Reply = Facts | Done | Ran | Profiled | Failure
_ANSWERS: dict[type, type] = {Describe: Facts, Begin: Done, Put: Done, Load: Done, Run: Ran, Layers: Profiled}
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
    """The reply to a kind of request, or a `Failure`; msgspec's error or ValueError where it is neither."""
    reply = _replies.decode(data)
    if not isinstance(reply, (_ANSWERS[request], Failure)):
        raise ValueError(f"{type(reply).__name__}, expected {_ANSWERS[request].__name__}")
    return reply
