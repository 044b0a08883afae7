"""Deployments on another machine, over TVM's RPC: the device ``rpc://host:port`` and its server.

| module | |
|---|---|
| `address` | names of remote devices |
| `handshake` | who may connect: both sides prove that they know the key, without sending it |
| `messages` | what a session is asked and answers |
| `server` | listens, lets in, starts and ends sessions; of TVM's protocol reads the ticket alone |
| `orphans` | ends what a session's native code had started |
| `session` | one client's process on the far side |
| `confine`, `sockets` | what a session's process may touch |
| `tracker` | TVM's tracker, from both sides |
| `link` | the near side of a session |
| `device` | the device |

docs/decisions/0017 says what protects and what does not.
"""
