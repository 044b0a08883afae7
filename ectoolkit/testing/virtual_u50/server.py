"""The virtual board's process: ``python -m ectoolkit.testing.virtual_u50.server FOLDER``.

It ends when its standard input closes, so it never outlives who started it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path

from ectoolkit.testing.virtual_u50.commands import Command, CommandQueue
from ectoolkit.testing.virtual_u50.faults import Fault
from ectoolkit.testing.virtual_u50.state import BoardState, Client
from ectoolkit.testing.virtual_u50.wire import ANSWER, REQUEST, RequestKind, receive

SOCKET = "board.socket"


class Server:
    """One thread for each connection; a process that uses XRT makes two."""

    def __init__(self, folder: Path) -> None:
        self.state = BoardState(folder / "root")
        self.commands = CommandQueue(self.state)
        self._events: dict[int, socket.socket] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(folder / SOCKET))
        self._socket.listen(16)

    def serve(self) -> None:
        """Accept connections for good."""
        while True:
            connection, _ = self._socket.accept()
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        client: Client | None = None
        handed_over = False
        try:
            while not handed_over:
                kind, length, *arguments = REQUEST.unpack(receive(connection, REQUEST.size))
                payload = receive(connection, length)
                if kind == RequestKind.EVENTS:
                    self._events[arguments[0]] = connection
                    connection.sendall(ANSWER.pack(0, 0, 0))
                    handed_over = True  # completions alone go out here; the end of the other connection closes it
                elif kind == RequestKind.HELLO:
                    client = self._hello(connection)
                elif kind == RequestKind.CONTROL:
                    self._control(connection, json.loads(payload))
                elif client is None:
                    connection.sendall(ANSWER.pack(1, 0, 0))
                else:
                    self._answer(connection, client, kind, arguments, payload)
        except (EOFError, OSError):
            pass  # the client is gone: there is nobody to tell, and what it held is freed below
        finally:
            if not handed_over:
                connection.close()
            if client is not None:
                self.state.close(client)
                events = self._events.pop(client.number, None)
                if events is not None:
                    events.close()

    def _hello(self, connection: socket.socket) -> Client | None:
        try:
            client = self.state.open()
        except OSError as error:
            connection.sendall(ANSWER.pack(error.errno, 0, 0))
            return None
        memory = self.state.memory
        answer = ANSWER.pack(0, client.number, memory.size_bytes)
        socket.send_fds(connection, [answer], [memory.descriptor])
        return client

    def _answer(
        self, connection: socket.socket, client: Client, kind: int, arguments: list[int], payload: bytes
    ) -> None:
        value = 0
        try:
            if kind == RequestKind.LOAD:
                self.state.load(client, payload)
            elif kind == RequestKind.CREATE:
                value = self.state.create(client, arguments[0], arguments[1])
            elif kind == RequestKind.FREE:
                self.state.free(client, arguments[0])
            elif kind == RequestKind.CONTEXT:
                self.state.context(client, arguments[0], arguments[1], arguments[2], payload)
            elif kind == RequestKind.EXECUTE:
                self.commands.put(Command(payload, arguments[0], self._events[client.number]))
        except OSError as error:
            connection.sendall(ANSWER.pack(error.errno, client.number, 0))
        else:
            connection.sendall(ANSWER.pack(0, client.number, value))

    def _control(self, connection: socket.socket, asked: dict[str, object]) -> None:
        if asked["do"] == "inject":
            self.state.inject(Fault(str(asked["fault"])), int(str(asked["times"])))
        elif asked["do"] == "heal":
            self.state.heal()
            self.commands.delay_s = 0.0
        elif asked["do"] == "delay":
            self.commands.delay_s = float(str(asked["seconds"]))
        text = json.dumps(self.state.summary()).encode()
        connection.sendall(ANSWER.pack(0, 0, len(text)) + text)


def main(folder: Path) -> None:
    """Serve until standard input closes."""
    server = Server(folder)
    threading.Thread(target=server.serve, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.buffer.read()
    os._exit(0)  # threads may be in the middle of a kernel


if __name__ == "__main__":
    main(Path(sys.argv[1]))
