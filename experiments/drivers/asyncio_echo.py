# SPDX-License-Identifier: MIT
"""An echo server on asyncio's streams, for shunt-echo-floor: the listening socket is descriptor 3."""

from __future__ import annotations

import asyncio
import socket

LISTENER = 3
MOST = 1 << 16


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(MOST):
        writer.write(data)
        await writer.drain()
    writer.close()


async def main() -> None:
    listener = socket.socket(fileno=LISTENER)
    start = asyncio.start_unix_server if listener.family == socket.AF_UNIX else asyncio.start_server
    server = await start(serve, sock=listener)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
