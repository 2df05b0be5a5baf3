"""A TCP proxy on loopback that can misbehave on command. Standard library only."""

import asyncio
import threading


class Proxy:
    """Forwards connections to one of `targets` (ports), in turn, those that refuse left out.

    Runs on a thread of its own; all methods may be called from any thread.
    """

    def __init__(self, *targets):
        self.targets = targets
        self.delay = 0.0  # seconds that each piece waits, both ways
        self.refusing = False
        self._next = 0
        self._connections = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self.port = 0
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the proxy did not start")

    def cut(self):
        """Breaks every connection that is open now, in the middle of whatever it does."""
        self._loop.call_soon_threadsafe(self._abort_all)

    def refuse(self, refusing):
        """While refusing, nothing is connected and nothing stays connected."""
        self.refusing = refusing
        if refusing:
            self.cut()

    def close(self):
        self._loop.call_soon_threadsafe(self._abort_all)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=512))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _abort_all(self):
        for writer in list(self._connections):
            writer.transport.abort()

    async def _connect(self):
        for _ in self.targets:
            target = self.targets[self._next % len(self.targets)]
            self._next += 1
            try:
                return await asyncio.open_connection("127.0.0.1", target)
            except OSError:
                continue
        return None

    async def _accept(self, reader, writer):
        there = None if self.refusing else await self._connect()
        if there is None:
            writer.transport.abort()
            return
        other_reader, other_writer = there
        both = {writer, other_writer}
        self._connections |= both
        await asyncio.gather(self._forward(reader, other_writer),
                             self._forward(other_reader, writer), return_exceptions=True)
        self._connections -= both
        for each in both:
            each.transport.abort()

    async def _forward(self, reader, writer):
        while True:
            piece = await reader.read(1 << 16)
            if self.delay:
                await asyncio.sleep(self.delay)
            if not piece:
                writer.write_eof()
                return
            writer.write(piece)
            await writer.drain()
