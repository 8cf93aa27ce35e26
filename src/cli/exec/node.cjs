'use strict';
// Node before 22.21 and 24.5 looks for no proxy in its environment. `bearward exec` has it load this file first, so that http, https
// and fetch go through the one that HTTP_PROXY and HTTPS_PROXY name, unless NO_PROXY names the host. Agents and dispatchers that a
// program made for itself stay its own.

const http = require('node:http');
const https = require('node:https');
const net = require('node:net');
const tls = require('node:tls');

const address = process.env.https_proxy || process.env.HTTPS_PROXY;
if (address && !process.allowedNodeEnvironmentFlags.has('--use-env-proxy')) {
  install(new URL(address));
}

function install(proxy) {
  const port = Number(proxy.port);
  const listed = (process.env.no_proxy || process.env.NO_PROXY || '')
    .split(',')
    .map((entry) => entry.trim().toLowerCase().replace(/^\*?\./, ''))
    .filter((entry) => entry !== '');

  /** Whether `host` is reached without the proxy: a name stands for its subdomains too. */
  function direct(host, hostPort) {
    const name = bare(host).toLowerCase();
    if (name === bare(proxy.hostname) && Number(hostPort) === port) return true;
    return listed.some((entry) => {
      const listedName = bare(entry.replace(/^(\[.*\]|[^:]*):\d+$/, '$1'));
      const listedPort = /^(?:\[.*\]|[^:]*):(\d+)$/.exec(entry)?.[1];
      if (listedPort !== undefined && listedPort !== String(hostPort)) return false;
      return entry === '*' || name === listedName || name.endsWith(`.${listedName}`);
    });
  }

  /** A connection to `host` through the proxy (CONNECT, RFC 9110 section 9.3.6). */
  function tunnel(host, hostPort, done) {
    const destination = `${bracketed(host)}:${hostPort}`;
    const request = http.request({
      method: 'CONNECT',
      path: destination,
      headers: { host: destination },
      createConnection: () => net.connect(port, bare(proxy.hostname)),
    });
    request.once('connect', (response, socket, head) => {
      if (response.statusCode === 200 && head.length === 0) return done(null, socket);
      socket.destroy();
      return done(new Error(`the proxy ${proxy.origin} answered ${response.statusCode} to CONNECT ${destination}`));
    });
    request.once('response', (response) => {
      response.destroy();
      done(new Error(`the proxy ${proxy.origin} answered ${response.statusCode} to CONNECT ${destination}`));
    });
    request.once('error', done);
    request.end();
  }

  const connectTls = https.Agent.prototype.createConnection;
  https.Agent.prototype.createConnection = function createConnection(options, done) {
    const plain =
      options === null ||
      typeof options !== 'object' ||
      typeof done !== 'function' ||
      options.socket ||
      options.socketPath ||
      direct(options.host, options.port);
    if (plain) return connectTls.apply(this, arguments);
    tunnel(options.host, options.port, (error, socket) => {
      if (error) return done(error);
      return done(null, connectTls.call(this, { ...options, socket }));
    });
    return undefined;
  };

  // A plain request goes to the proxy with its whole URL (RFC 9112 section 3.2.2).
  const connectPlain = http.Agent.prototype.createConnection;
  const add = http.Agent.prototype.addRequest;
  http.Agent.prototype.addRequest = function addRequest(request, options, ...rest) {
    const ours =
      options !== null &&
      typeof options === 'object' &&
      this.protocol === 'http:' &&
      this.createConnection === connectPlain &&
      !options.socketPath &&
      request.path.startsWith('/') &&
      !direct(options.host, options.port);
    if (!ours) return add.call(this, request, options, ...rest);
    retarget(request, `http://${bracketed(options.host)}:${options.port}${request.path}`);
    return add.call(this, request, { ...options, host: bare(proxy.hostname), port }, ...rest);
  };

  const fetchDirectly = globalThis.fetch;
  if (typeof fetchDirectly === 'function') {
    let installed = false;
    globalThis.fetch = function fetch(input, init = undefined) {
      if (!installed) {
        installed = true;
        dispatchThroughProxy();
      }
      return fetchDirectly(input, init);
    };
  }

  /** Replaces the dispatcher that fetch uses by default, unless the program has set one. */
  function dispatchThroughProxy() {
    void globalThis.Response; // The first look at it loads fetch.
    const key = Symbol.for('undici.globalDispatcher.1');
    const Agent = globalThis[key]?.constructor;
    if (Agent?.name !== 'Agent') return;
    class ProxiedAgent extends Agent {
      dispatch(options, handler) {
        const origin = new URL(options.origin);
        if (origin.protocol !== 'http:' || direct(origin.hostname, origin.port || 80)) {
          return super.dispatch(options, handler);
        }
        const path = `${origin.origin}${options.path}`;
        const headers = withHost(options.headers, origin.host);
        return super.dispatch({ ...options, origin: proxy.origin, path, headers }, handler);
      }
    }
    globalThis[key] = new ProxiedAgent({ connect });
  }

  function connect(options, done) {
    const secure = options.protocol === 'https:';
    const hostPort = Number(options.port) || (secure ? 443 : 80);
    const host = bare(options.hostname);
    const begin = (socket) => {
      const name = options.servername || (net.isIP(host) ? undefined : host);
      const connection = secure
        ? tls.connect({ host, port: hostPort, socket, servername: name, ALPNProtocols: ['http/1.1'] })
        : net.connect({ host, port: hostPort });
      const failed = (error) => done(error, null);
      connection.setNoDelay(true);
      connection.once('error', failed);
      connection.once(secure ? 'secureConnect' : 'connect', () => {
        connection.removeListener('error', failed);
        done(null, connection);
      });
    };
    if (!secure || direct(host, hostPort)) return begin(undefined);
    return tunnel(host, hostPort, (error, socket) => (error ? done(error, null) : begin(socket)));
  }
}

/** A request with an expectation, or whose fields are a list, has its head written down before an agent is asked. */
function retarget(request, target) {
  const before = `${request.method} ${request.path} `;
  const rewritten = (text) => `${request.method} ${target} ${text.slice(before.length)}`;
  const isHead = (text) => typeof text === 'string' && text.startsWith(before);
  if (isHead(request._header)) request._header = rewritten(request._header);
  const [first] = request.outputData ?? [];
  if (isHead(first?.data)) first.data = rewritten(first.data);
  request.path = target;
}

/** undici takes fields as a flat list or as an object. */
function withHost(fields, host) {
  if (Array.isArray(fields)) return ['host', host, ...fields];
  return { host, ...fields };
}

function bare(host) {
  return host.replace(/^\[|\]$/g, '');
}

function bracketed(host) {
  return net.isIPv6(bare(host)) ? `[${bare(host)}]` : host;
}
