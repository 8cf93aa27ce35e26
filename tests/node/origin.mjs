// An API that real clients talk to, directly and through bearward: what `tests/e2e/clients` compares. HTTP/1.1 on plain
// ports, HTTP/1.1 and HTTP/2 by ALPN on TLS ports, WebSocket by `ws`, tokens of its own.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { createSecureServer } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { WebSocketServer } from 'ws';
import { options, serve, tell } from './lines.mjs';

// The token that clients show when they come directly; bearward is given others.
const living = new Set([options.token]);
let issued = 0;
const packed = gzipSync('what is packed stays packed');
// By the name that a step gives them: how often a request came, and who waits for an event.
const sendings = new Map();
const listeners = new Map();
const webSockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'echo' });

function json(response, status, value, fields = {}) {
  const content = JSON.stringify(value);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content), ...fields });
  response.end(content);
}

// Every field as it came, in its order; nobody is shown the token.
function fieldsOf(request) {
  const fields = [];
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    const name = request.rawHeaders[at].toLowerCase();
    if (name.startsWith(':')) continue;
    fields.push([name, name === 'authorization' ? '(shown to nobody)' : request.rawHeaders[at + 1]]);
  }
  return fields;
}

async function contentOf(request) {
  const hash = createHash('sha256');
  let length = 0;
  let text = '';
  for await (const part of request) {
    hash.update(part);
    length += part.length;
    if (length <= 1024) text += part;
  }
  // However it was cut into parts.
  if (length > 1024) text = '';
  return { length, text, sha256: hash.digest('hex') };
}

async function echo(request, response) {
  const content = await contentOf(request);
  json(response, 200, { method: request.method, target: request.url, fields: fieldsOf(request), content });
}

// The next event goes out once somebody has said that the one before it was seen.
async function events(name, response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  for (const number of [1, 2, 3]) {
    const heard = new Promise((go) => listeners.set(name, go));
    response.write(`data: event ${number}\n\n`);
    await heard;
  }
  response.end();
}

const answers = {
  echo,
  head: (_, response) => {
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': 1234, etag: '"of all 1234"' });
    response.end();
  },
  nothing: (_, response) => {
    response.writeHead(204, { 'x-kept': 'yes' });
    response.end();
  },
  gzip: (_, response) => {
    response.writeHead(200, { 'content-type': 'text/plain', 'content-encoding': 'gzip', 'content-length': packed.length });
    response.end(packed);
  },
  cookies: (_, response) => {
    response.writeHead(200, { 'set-cookie': ['a=1; Path=/', 'b=2; Path=/'], 'content-length': 2 });
    response.end('ok');
  },
  missing: (_, response) => json(response, 404, { error: { key: 'not.found' } }),
  scope: (_, response) => json(response, 401, { error: { key: 'scope.wrong' } }),
  trailers: (_, response) => {
    response.writeHead(200, { 'content-type': 'text/plain', trailer: 'x-checksum' });
    response.write('what comes before trailers');
    response.addTrailers({ 'x-checksum': 'abc' });
    response.end();
  },
  page: (_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' });
    response.end('<!doctype html><title>Orders</title><link rel="icon" href="data:,"><h1>Orders</h1>');
  },
  events: (_, response, name) => events(name, response),
  heard: (_, response, name) => {
    listeners.get(name)?.();
    response.writeHead(204);
    response.end();
  },
  // The first request's token is taken back.
  stale: async (request, response, name) => {
    const content = await contentOf(request);
    const sent = (sendings.get(name) ?? 0) + 1;
    sendings.set(name, sent);
    if (sent > 1) return json(response, 200, { sent, content });
    living.delete(tokenOf(request));
    json(response, 401, { error: { key: 'token.invalid' } });
  },
};

const tokenOf = (request) => (request.headers.authorization ?? '').replace(/^Bearer /, '');

const counts = { connections: 0, bare: 0, seen: 0 };

async function answer(request, response) {
  const [, first, name] = new URL(request.url, 'http://origin').pathname.split('/');
  if (first === 'token') {
    await contentOf(request);
    const access_token = `issued-${++issued}`;
    living.add(access_token);
    return json(response, 200, { access_token, token_type: 'Bearer', expires_in: 3600 });
  }
  if (first === 'no-token') {
    await contentOf(request);
    return json(response, 503, { error: 'temporarily_unavailable' });
  }
  counts.seen += 1;
  if (!living.has(tokenOf(request))) {
    counts.bare += 1;
    await contentOf(request);
    return json(response, 401, { error: { key: 'token.invalid' } });
  }
  const answered = answers[first];
  if (!answered) return json(response, 404, { error: { key: 'no.such.path' } });
  await answered(request, response, name);
}

function onRequest(request, response) {
  // Whoever hung up does not want an answer.
  answer(request, response).catch(() => response.destroy?.());
}

// RFC 9110 section 10.1.1: `/echo` wants the content, every other path refuses it unseen.
function onExpectation(request, response) {
  if (request.url.startsWith('/echo')) {
    response.writeContinue();
    return onRequest(request, response);
  }
  json(response, 413, { error: { key: 'too.large' } }, request.httpVersionMajor === 1 ? { connection: 'close' } : {});
}

function onUpgrade(request, socket, head) {
  counts.seen += 1;
  if (!living.has(tokenOf(request))) {
    counts.bare += 1;
    return socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
  }
  webSockets.handleUpgrade(request, socket, head, (webSocket) => {
    webSocket.on('message', (message, isBinary) => {
      if (!isBinary && String(message) === 'close') return webSocket.close(4001, 'as asked');
      webSocket.send(message, { binary: isBinary });
    });
  });
}

function listen(server) {
  server.on('connection', () => (counts.connections += 1));
  server.on('request', onRequest);
  server.on('checkContinue', onExpectation);
  server.on('upgrade', onUpgrade);
  return new Promise((listening) => {
    server.listen(0, '127.0.0.1', () => listening(server.address().port));
  });
}

const secure = () => createSecureServer({ cert: options.certificate, key: options.key, allowHTTP1: true });
const plain = () => createServer({ keepAliveTimeout: 60_000 });
const servers = { http: plain(), https: secure(), closed_http: plain(), closed_https: secure() };
const ports = {};
for (const [name, server] of Object.entries(servers)) ports[name] = await listen(server);

serve({ counts: () => counts }, () => {});
tell(ports);
