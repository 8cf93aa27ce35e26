"""A gRPC server, without generated code: messages are octets. Says its ports on stdout and ends with stdin.

Its first argument is its token; whoever shows another is UNAUTHENTICATED. The others are the files of a certificate and its key,
for the second port.
"""

import sys
import time
from concurrent import futures

import grpc

TOKEN = sys.argv[1]


def admitted(context):
    metadata = dict(context.invocation_metadata())
    if metadata.get("authorization") != f"Bearer {TOKEN}":
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such token")
    context.set_trailing_metadata([("x-trailer", "at the end"), ("x-bin-bin", b"\x00\xff")])
    return metadata


def echo(message, context):
    admitted(context)
    return message


def order(message, context):
    """What came beside the message."""
    metadata = admitted(context)
    return f"{metadata.get('x-order')} {metadata.get('x-bin-bin')!r}".encode()


def missing(_, context):
    admitted(context)
    context.abort(grpc.StatusCode.NOT_FOUND, "no such order: 7 \N{EURO SIGN}")


def count(message, context):
    """As many messages as it is asked for."""
    admitted(context)
    for number in range(int(message)):
        yield str(number).encode()


def total(messages, context):
    admitted(context)
    return str(sum(len(message) for message in messages)).encode()


def chat(messages, context):
    admitted(context)
    for message in messages:
        yield b"heard " + message


def slow(_, context):
    """Never answers; says by when it should have."""
    admitted(context)
    seen.append(context.time_remaining())
    while context.is_active():
        time.sleep(0.01)
    return b""


def remaining(_, context):
    """How long the last slow one had."""
    admitted(context)
    return repr(seen[-1]).encode()


seen = []

HANDLERS = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Order": grpc.unary_unary_rpc_method_handler(order),
    "Missing": grpc.unary_unary_rpc_method_handler(missing),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
    "Remaining": grpc.unary_unary_rpc_method_handler(remaining),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Total": grpc.stream_unary_rpc_method_handler(total),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
}

server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 16 << 20)])
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Orders", HANDLERS)])
with open(sys.argv[2], "rb") as certificate, open(sys.argv[3], "rb") as key:
    credentials = grpc.ssl_server_credentials([(key.read(), certificate.read())])
print(server.add_insecure_port("127.0.0.1:0"), server.add_secure_port("127.0.0.1:0", credentials), flush=True)
server.start()
sys.stdin.read()
server.stop(0)
