"""An API for the network-namespace test: HTTP and HTTPS on the addresses it is given, which say what they have seen.

`origin.py CERTIFICATE KEY LOG ADDRESS…`; each request is a line of the log: scheme, own address, Host, what it was authorized with.
"""

import http.server
import socketserver
import ssl
import sys
import threading

CERTIFICATE, KEY, LOG, *ADDRESSES = sys.argv[1:]
written = threading.Lock()


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        scheme, address = self.server.scheme, self.server.server_address[0]
        seen = f"{scheme} {address} {self.headers['host']} {self.headers.get('authorization', 'nothing')}"
        with written, open(LOG, "a") as log:
            print(seen, file=log)
        content = f"{seen}\n".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    # The library's own asks the name service for a name of the address.
    server_bind = socketserver.TCPServer.server_bind


def serve(address, port, scheme):
    server = Server((address, port), Answer)
    server.scheme = scheme
    if scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE, KEY)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever).start()


for address in ADDRESSES:
    serve(address, 80, "http")
    serve(address, 443, "https")
print("ready", flush=True)
