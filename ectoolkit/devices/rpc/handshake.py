"""Who may connect: both sides prove that they know the key, and it is never sent.

| | client | server |
|---|---|---|
| 1 | `GREETING`, 32 random bytes | |
| 2 | | 32 random bytes |
| 3 | proof of both | |
| 4 | | `WELCOME` and its own proof, or a reason why not |
| 5 | on a second connection: `DATA_GREETING` and the ticket, which both derive and which is good once | |
| 6 | | there `OPENED`, by the session's process, once it is held; or `NO_TICKET` |
| 7 | on the first: nothing more | a `BEAT` each second; `ENDED` and the status when the session's process is gone |

The second connection then carries `messages`, as `channel` says.  A client whose `GREETING` is of another protocol gets
the server's own in step 2, filled up with zeros, and no more.

The first connection stays open as long as the session; where the client closes it, the session's process is ended.
What goes over either connection is not encrypted.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import struct
from pathlib import Path

from ectoolkit.errors import InputError

#: raised where messages, their frame or this table change; 1 and 2 were carried by TVM's RPC
PROTOCOL = 3
ANY_GREETING = b"ECT"
GREETING = ANY_GREETING + str(PROTOCOL).encode()
DATA_GREETING = b"ECD" + str(PROTOCOL).encode()
NONCE_BYTES = PROOF_BYTES = TICKET_BYTES = 32
WELCOME, WRONG_KEY, FULL, BEAT, ENDED = b"W", b"K", b"F", b".", b"X"
OPENED, NO_TICKET = b"O", b"N"
#: behind `ENDED`: how the process ended, negative for a signal
STATUS = struct.Struct("<i")
BEAT_S = 1.0
#: how long the other side may take for one step
STEP_S = 5.0
#: without a beat the other side is taken for dead; a server waits for its tracker meanwhile, and machines are busy
SILENCE_S = 15.0

#: names of the variables that hold a key, or a file with it
KEY_VARIABLE, KEY_FILE_VARIABLE = "ECTOOLKIT_RPC_KEY", "ECTOOLKIT_RPC_KEY_FILE"
#: a recorded proof lets keys be tried elsewhere, as fast as there are machines for it
_LEAST_CHARACTERS = 16


def proof(key: str, side: bytes, mine: bytes, theirs: bytes) -> bytes:
    """That one side knows the key: `side` is ``b"client"``, ``b"server"`` or ``b"ticket"``; client's nonce first."""
    return hmac.new(key.encode(), side + mine + theirs, hashlib.sha256).digest()


def other_protocol() -> bytes:
    """What a client of another protocol gets instead of random bytes."""
    return GREETING.ljust(NONCE_BYTES, b"\0")


def is_greeting(answer: bytes) -> bool:
    """Whether the server's random bytes are none, but `other_protocol` of another version."""
    return answer.startswith(ANY_GREETING) and answer.endswith(bytes(NONCE_BYTES - len(GREETING)))


def ticket(key: str, mine: bytes, theirs: bytes) -> bytes:
    """What lets the second connection in, once."""
    return proof(key, b"ticket", mine, theirs)


def new_key() -> str:
    """A key that nobody guesses."""
    return secrets.token_urlsafe(24)


def find_key(key: str | None = None, file: str | os.PathLike[str] | None = None) -> str | None:
    """The key that was given, else of the environment; None where there is none.

    Raises:
        InputError: there is a key and a file with one; the file cannot be read, others can read it, or the key is too
            short to be one.
    """
    key_name, file_name = "a key", "a key file"
    if key is None and file is None:
        key, file = os.environ.get(KEY_VARIABLE), os.environ.get(KEY_FILE_VARIABLE)
        key_name, file_name = KEY_VARIABLE, KEY_FILE_VARIABLE
    if key is not None and file is not None:
        raise InputError(f"{key_name} and {file_name}, {file}, are both given. Give one of them")
    if key is None and file is not None:
        key = _read(Path(file).expanduser())
    if key is not None and len(key) < _LEAST_CHARACTERS:
        raise InputError(
            f"the key has {len(key)} characters, expected at least {_LEAST_CHARACTERS} that nobody guesses: whoever "
            f"has it can run any program there. Without one, `ectoolkit device serve` makes a good one"
        )
    return key


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise InputError(f"the key file {path} can be read by others. Make it yours alone: chmod 600 {path}")
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the key file {path} cannot be read: {error}") from error
