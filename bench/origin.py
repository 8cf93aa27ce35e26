"""The API behind the proxies, and its authorization server: one nginx, with certificates made for the run.

It answers 401 where the token is not the expected one, and 400 where a request is not what was sent, so that a proxy that
does less than its work cannot look fast.
"""

import base64
import os
import shutil
import subprocess
import time
import urllib.request

from listeners import free_ports, require_one
from loads import LARGE, MEDIUM, POSTED, SMALL
from processes import Failed, Process

TOKEN = "bench-5f0c1d6e9b7a42d3a8f0e1c2b3d4a596"  # as long as opaque tokens are
CLIENT, SECRET = "bench", "the-secret-of-the-bench"
BASIC = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
NAME = "localhost"

CONFIGURATION = """\
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {descriptors};
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    open_file_cache max=16;
    http2_max_concurrent_streams 128;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type application/json;
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.key;
    ssl_session_cache shared:tls:8m;

    server {{
        listen 127.0.0.1:{plain} backlog=4096;
        set $expected HTTP/1.1;
{locations}
        location = /status {{ stub_status; }}
        location = /token {{
            if ($http_authorization != "Basic {basic}") {{ return 401; }}
            return 200 '{{"access_token":"{token}","token_type":"Bearer","expires_in":86400}}';
        }}
        location ~ ^/token/(?<subject>[0-9]+)$ {{
            if ($http_authorization != "Bearer {token}") {{ return 401; }}
            return 200 '{{"access_token":"{token}-$subject","token_type":"Bearer","expires_in":86400}}';
        }}
        location ~ ^/subjects/(?<subject>[0-9]+)$ {{
            if ($http_authorization != "Bearer {token}-$subject") {{ return 401; }}
            if ($http_x_bearward_subject) {{ return 400; }}
            return 200 "{small}";
        }}
        location ~ ^/numbered/(?<subject>[0-9]+)$ {{
            if ($http_authorization != "Bearer {token}") {{ return 401; }}
            if ($http_x_numbered_subject != $subject) {{ return 400; }}
            return 200 "{small}";
        }}
    }}
    server {{
        listen 127.0.0.1:{tls} ssl backlog=4096;
        set $expected HTTP/1.1;
{locations}
    }}
    server {{
        listen 127.0.0.1:{h2} ssl http2 backlog=4096;
        set $expected HTTP/2.0;
{locations}
    }}
}}
"""

LOCATIONS = """\
        location = /small {{
            if ($http_authorization != "Bearer {token}") {{ return 401; }}
            if ($server_protocol != $expected) {{ return 400; }}
            return 200 "{small}";
        }}
        location = /post {{
            if ($http_authorization != "Bearer {token}") {{ return 401; }}
            if ($request_method != POST) {{ return 400; }}
            if ($content_length != {posted}) {{ return 400; }}
            return 200 "{small}";
        }}
        location ~ ^/(medium|large)$ {{
            if ($http_authorization != "Bearer {token}") {{ return 401; }}
            root {folder};
        }}
"""


class Origin:
    """What is there once it runs: `ports` by setup, the CA's file, and how many requests it has had."""

    def __init__(self, nginx, folder, core, descriptors):
        self.folder = os.path.join(folder, "origin")
        os.makedirs(self.folder)
        self.ca = certificates(self.folder)
        for name, size in (("medium", MEDIUM), ("large", LARGE)):
            with open(os.path.join(self.folder, name), "wb") as file:
                file.write(os.urandom(size))
        os.chmod(self.folder, 0o755)
        plain, tls, h2 = free_ports(3)
        self.ports = {
            "plain": plain,
            "large": plain,
            "tls": tls,
            "h2": h2,
            "gateway": plain,
            "subjects": plain,
        }
        values = {
            "folder": self.folder,
            "token": TOKEN,
            "small": "s" * SMALL,
            "posted": POSTED,
            "basic": BASIC,
            "plain": plain,
            "tls": tls,
            "h2": h2,
            "descriptors": descriptors,
            "connections": min(descriptors - 64, 16384),
        }
        values["user"] = "user root;" if os.geteuid() == 0 else ""
        values["locations"] = LOCATIONS.format(**values)
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(CONFIGURATION.format(**values))
        self.process = Process(
            "the origin",
            [nginx, "-p", self.folder, "-e", "stderr", "-c", path],
            {core},
            os.path.join(self.folder, "log"),
        )

    def wait(self):
        """Until it answers."""
        until = time.monotonic() + 10
        while True:
            self.process.require_running()
            try:
                return self.requests()
            except OSError as error:
                if time.monotonic() > until:
                    raise Failed(f"the origin does not answer: {error}") from error
                time.sleep(0.01)

    def require_alone(self):
        self.process.require_running()
        for port in set(self.ports.values()):
            require_one(port, "the origin", self.process.ids())

    def requests(self):
        """How many it has had, this question included."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['plain']}/status", timeout=5) as answer:
            return requests_of(answer.read().decode())


def requests_of(status):
    """The third figure of stub_status' counters."""
    return int(status.splitlines()[2].split()[2])


def certificates(folder):
    """A CA and a certificate for `localhost`; returns the CA's file."""
    if not shutil.which("openssl"):
        raise Failed("openssl is not here (Debian: openssl)")
    extensions = os.path.join(folder, "extensions")
    with open(extensions, "w", encoding="ascii") as file:
        file.write(f"subjectAltName=DNS:{NAME},IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for command in (
        [
            "req",
            "-x509",
            *curve,
            "-days",
            "2",
            "-subj",
            "/CN=bench CA",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ],
        ["req", *curve, "-subj", f"/CN={NAME}", "-keyout", "server.key", "-out", "server.csr"],
        [
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            extensions,
            "-out",
            "server.pem",
        ],
    ):
        done = subprocess.run(["openssl", *command], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"openssl {command[0]}: {done.stderr.strip()}")
    return os.path.join(folder, "ca.pem")
