"""An origin on h11 that says on stdout what it read: its port first, then one JSON object per request."""

import asyncio
import json
import os
import sys
import threading

import h11


def tell(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def serve(reader, writer):
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    port = writer.get_extra_info("peername")[1]
    content, request = b"", None
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                content, request = b"", event
            elif isinstance(event, h11.Data):
                content += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                host = dict(request.headers).get(b"host", b"")
                said = {"port": str(port), "method": request.method.decode(), "target": request.target.decode()}
                tell(json.dumps(said | {"host": host.decode(), "content": content.hex()}))
                writer.write(connection.send(h11.Response(status_code=200, headers=[("content-length", "0")])))
                writer.write(connection.send(h11.EndOfMessage()))
                if connection.our_state is h11.MUST_CLOSE:
                    break
            elif event is h11.PAUSED and connection.our_state is h11.DONE:
                connection.start_next_cycle()
            else:
                break
    except h11.RemoteProtocolError as error:
        answer = h11.Response(status_code=error.error_status_hint, headers=[("connection", "close")])
        writer.write(connection.send(answer) or b"")
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    tell(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


def ends_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


threading.Thread(target=ends_with_stdin, daemon=True).start()
asyncio.run(main())
