"""The proxies, each configured as well as it can be for this work: HTTP/1.1 from the application, kept connections to the origin,
one thread, a bearer token on every request, no logs.

Knows how each is configured and started. Does not know what is asked of it, nor how that is measured.
"""

import json
import os

from listeners import free_ports, require_one
from loads import SUBJECTS, UPSTREAMS
from origin import CLIENT, NAME, SECRET, TOKEN
from processes import Process

AUTHORIZATION = f"Bearer {TOKEN}"
# Setups whose upstream speaks TLS.
ENCRYPTED = ("tls", "h2")

NGINX = """\
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {descriptors};
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{upstreams}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Authorization "{authorization}";
        proxy_buffers 4 256k;
        proxy_busy_buffers_size 512k;
        proxy_max_temp_file_size 0;
{tls}
{locations}
    }}
}}
"""

NGINX_UPSTREAM = """    upstream {name} {{
        server 127.0.0.1:{upstream};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_time 24h;
        keepalive_timeout 600s;
    }}
"""

NGINX_LOCATION = """        location {path} {{ proxy_pass {scheme}://{name}{rest}; }}
"""

NGINX_TLS = """\
        proxy_ssl_verify on;
        proxy_ssl_trusted_certificate {ca};
        proxy_ssl_server_name on;
        proxy_ssl_name {name};
        proxy_ssl_session_reuse on;"""

HAPROXY = """\
global
    nbthread 1
    tune.bufsize {buffer}
    maxconn {connections}
    ulimit-n {descriptors}
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
frontend application
    bind 127.0.0.1:{port} backlog 4096
    default_backend api
backend api
    http-reuse always
    {splice}
    http-request set-header Authorization "{authorization}"
    server api 127.0.0.1:{upstream} pool-purge-delay 600s {tls}
"""

HAPROXY_TLS = "ssl verify required ca-file {ca} sni str({name}) verifyhost {name} alpn {alpn}"

BEARWARD = """\
[tokens.api]
grant_type     = "client_credentials"
token_endpoint = "http://127.0.0.1:{plain}/token"
client_id      = "{client}"
client_secret  = "{secret}"
"""

UPSTREAM = """
[upstreams.{name}]
url = "{scheme}://{host}:{upstream}"
token = "{token}"
"""

SUBJECT = """
[tokens.subject]
grant_type     = "request"
url            = "http://127.0.0.1:{plain}/token/{{subject}}"
authorize_with = "api"
max_subjects   = {subjects}
"""


class Peer:
    """A kind of proxy: its program, and how it is configured for a setup."""

    def __init__(self, name, program, version):
        self.name = name
        self.program = program
        self.version = version

    def command(self, folder, setup, port, origin, descriptors):
        """Writes what it reads into the folder; returns what starts it."""
        values = {
            "folder": folder,
            "port": port,
            "upstream": origin.ports[setup],
            "plain": origin.ports["plain"],
            "ca": origin.ca,
            "name": NAME,
            "authorization": AUTHORIZATION,
            "descriptors": descriptors,
            "connections": min(descriptors // 4 - 64, 4096),
            "client": CLIENT,
            "secret": SECRET,
            "user": "user root;" if os.geteuid() == 0 else "",
            "alpn": "h2" if setup == "h2" else "http/1.1",
        }
        return getattr(self, self.name)(setup, values)

    def nginx(self, setup, values):
        scheme, values["tls"] = ("https", NGINX_TLS.format(**values)) if setup == "tls" else ("http", "")
        ways = [("api", "/", "")]
        if setup == "gateway":
            ways = [(f"u{number}", f"/u{number}/", "/") for number in range(UPSTREAMS)]
        upstreams = [NGINX_UPSTREAM.format(name=name, upstream=values["upstream"]) for name, _, _ in ways]
        locations = [NGINX_LOCATION.format(path=path, scheme=scheme, name=name, rest=rest) for name, path, rest in ways]
        values["upstreams"], values["locations"] = "".join(upstreams), "".join(locations)
        path = written(values["folder"], "nginx.conf", NGINX.format(**values))
        return [self.program, "-p", values["folder"], "-e", "stderr", "-c", path]

    def haproxy(self, setup, values):
        values["tls"] = HAPROXY_TLS.format(**values) if setup in ENCRYPTED else ""
        # Larger buffers save a third of 10 MiB, and cost a tenth of 200 B: each load has those that are best for it.
        values["buffer"] = 65536 if setup == "large" else 16384
        # It splices long answers as bearward does: a sixth less at 64 KiB, a third at 10 MiB, and short ones are not touched.
        values["splice"] = "option splice-response"
        return [self.program, "-db", "-f", written(values["folder"], "haproxy.cfg", HAPROXY.format(**values))]

    def envoy(self, setup, values):
        path = written(values["folder"], "envoy.json", json.dumps(envoy_configuration(setup, values), indent=1))
        return [
            self.program,
            "-c",
            path,
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "error",
        ]

    def bearward(self, setup, values):
        text = BEARWARD.format(**values)
        values["scheme"], values["host"] = ("http", "127.0.0.1") if setup not in ENCRYPTED else ("https", NAME)
        listen = f'listen = "127.0.0.1:{values["port"]}"\n'
        if setup == "gateway":
            text += f"\n[gateway]\n{listen}"
            for number in range(UPSTREAMS):
                text += UPSTREAM.format(**{**values, "name": f"u{number}", "token": "api"}) + f'path = "/u{number}"\n'
        elif setup == "subjects":
            text += SUBJECT.format(**values, subjects=SUBJECTS)
            text += UPSTREAM.format(**{**values, "name": "api", "token": "subject"}) + listen
        else:
            text += UPSTREAM.format(**{**values, "name": "api", "token": "api"}) + listen
            if values["scheme"] == "https":
                text += f'tls = {{ ca = "{values["ca"]}" }}\n'
        return [self.program, "-c", written(values["folder"], "bearward.toml", text), "run"]


class Instance:
    """A running proxy with one setup, on a port that is its own."""

    def __init__(self, peer, setup, folder, origin, core, descriptors):
        self.peer = peer
        os.makedirs(folder, exist_ok=True)
        [self.port] = free_ports(1)
        command = peer.command(folder, setup, self.port, origin, descriptors)
        # Nothing of this user's own configuration: tokens are kept in the run's folder, no outer proxy is in between.
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": folder, "XDG_STATE_HOME": folder}
        self.process = Process(f"{peer.name} ({setup})", command, {core}, os.path.join(folder, "log"), environment)

    def require_alone(self):
        self.process.require_running()
        require_one(self.port, self.process.name, self.process.ids())


def written(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o600)
    return path


def envoy_configuration(setup, values):
    """The bootstrap of one listener and one cluster, as JSON."""
    types = "type.googleapis.com/envoy.extensions"

    def typed(name, kind, **config):
        return {"name": name, "typed_config": {"@type": f"{types}.{kind}", **config}}

    def address(port):
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    router = typed(
        "envoy.filters.http.router",
        "filters.http.router.v3.Router",
        suppress_envoy_headers=True,
        dynamic_stats=False,
    )
    injector = typed(
        "envoy.filters.http.credential_injector",
        "filters.http.credential_injector.v3.CredentialInjector",
        overwrite=True,
        credential=typed(
            "envoy.http.injected_credentials.generic",
            "http.injected_credentials.generic.v3.Generic",
            credential={"name": "token"},
        ),
    )
    routes = {
        "virtual_hosts": [
            {
                "name": "api",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "api", "timeout": "600s"}}],
            }
        ]
    }
    manager = typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        codec_type="HTTP1",
        stat_prefix="in",
        generate_request_id=False,
        route_config=routes,
        http_filters=[injector, router],
        server_header_transformation="PASS_THROUGH",
    )
    listener = {
        "name": "in",
        "address": address(values["port"]),
        "enable_reuse_port": False,
        "tcp_backlog_size": 4096,
        "filter_chains": [{"filters": [manager]}],
    }
    endpoint = {"endpoint": {"address": address(values["upstream"])}}
    most = 1_000_000
    cluster = {
        "name": "api",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "api", "endpoints": [{"lb_endpoints": [endpoint]}]},
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": most,
                    "max_pending_requests": most,
                    "max_requests": most,
                    "max_retries": most,
                }
            ]
        },
    }
    if setup in ENCRYPTED:
        context = {
            "common_tls_context": {
                "validation_context": {
                    "trusted_ca": {"filename": values["ca"]},
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": NAME}}],
                }
            },
            "sni": NAME,
        }
        cluster["transport_socket"] = typed(
            "envoy.transport_sockets.tls", "transport_sockets.tls.v3.UpstreamTlsContext", **context
        )
        options = {"http2_protocol_options" if setup == "h2" else "http_protocol_options": {}}
        kind = f"{types}.upstreams.http.v3.HttpProtocolOptions"
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": kind,
                "explicit_http_config": options,
            }
        }
    secret = {"name": "token", "generic_secret": {"secret": {"inline_string": values["authorization"]}}}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster], "secrets": [secret]}}
