"""Deployments on another machine: the device ``rpc://host:port`` and its server.

| module | |
|---|---|
| `address` | names of remote devices |
| `handshake` | who may connect: both sides prove that they know the key, without sending it |
| `messages`, `channel` | what a session is asked and answers, and how that travels |
| `server` | listens, lets in, starts and ends sessions |
| `orphans` | ends what a session's native code had started |
| `session` | one client's process on the far side |
| `confine`, `sockets` | what a session's process may touch |
| `tracker` | TVM's tracker, from both sides |
| `door`, `watch`, `link` | the near side: getting in, the heartbeats, a session |
| `device` | the device |

docs/decisions/0017 says what protects and what does not.
"""
