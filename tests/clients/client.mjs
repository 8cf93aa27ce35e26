// Node's clients: fetch, undici, http(s), http2 and ws do what a plan says (plan.py tells what a plan is).
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import { Readable } from 'node:stream';
import tls from 'node:tls';
import { Agent, ProxyAgent, EnvHttpProxyAgent, fetch as undiciFetch, request as undiciRequest } from 'undici';
import WebSocket from 'ws';

const plan = JSON.parse(readFileSync(0, 'utf8'));
const ca = plan.ca ? readFileSync(plan.ca) : undefined;
const authorization = plan.authorization ? { authorization: plan.authorization } : {};
const fieldsOf = (step) => ({ ...Object.fromEntries(step.fields ?? []), ...authorization });

function* octets(step) {
  for (let left = step.content.length; left > 0; left -= 16384) {
    yield Buffer.from({ length: Math.min(16384, left) }, (_, at) => at % 251);
  }
}

const isStreamed = (step) => step.content?.length !== undefined;
const streamed = (step) => Readable.from(octets(step));
const text = (step) => step.content?.text;

function shown(content) {
  const text = content.toString('utf8');
  return Buffer.from(text).equals(content) ? text : `sha256 ${createHash('sha256').update(content).digest('hex')}`;
}

// Names and values in turn, as Node keeps what came.
function pairs(raw) {
  const fields = [];
  for (let at = 0; at < raw.length; at += 2) fields.push([raw[at].toLowerCase(), raw[at + 1]]);
  return fields;
}

async function whole(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

// Each event is followed by a request that says so; the next comes only then.
async function eventsOf(stream, step, send) {
  const seen = [];
  let left = '';
  for await (const part of stream) {
    const lines = (left + Buffer.from(part)).split('\n');
    left = lines.pop();
    for (const line of lines.filter((line) => line.startsWith('data:'))) {
      seen.push(line);
      await send({ method: 'POST', url: step.heard, unix: step.unix, kind: 'request' });
    }
  }
  return seen;
}

// fetch and undici ------------------------------------------------------------------------------------------------------

const dispatchers = new Map();
let connects = 0;

function dispatcher(unix) {
  if (!dispatchers.has(unix)) {
    const connect = { ca, socketPath: unix };
    const [requestTls, proxyTls] = [{ ca }, { ca }];
    const proxied = { uri: plan.proxy, requestTls, proxyTls, proxyTunnel: plan.tunnel ?? false };
    const made = plan.environment
      ? new EnvHttpProxyAgent()
      : plan.proxy
        ? new ProxyAgent(proxied)
        : new Agent({ connect, allowH2: plan.version === '2' });
    made.on('connect', () => (connects += 1));
    dispatchers.set(unix, made);
  }
  return dispatchers.get(unix);
}

function fetchWith(fetched, how) {
  const send = (step) => {
    const body = isStreamed(step) ? Readable.toWeb(streamed(step)) : text(step);
    const init = { method: step.method, headers: fieldsOf(step), body, redirect: 'manual', ...how(step) };
    return fetched(step.url, body && isStreamed(step) ? { ...init, duplex: 'half' } : init);
  };
  const read = async (step) => {
    const answer = await send(step);
    const content = Buffer.from(await answer.arrayBuffer());
    return { status: answer.status, fields: [...answer.headers], content: shown(content) };
  };
  return async (step) => {
    if (step.kind === 'request') return read(step);
    const answer = await send(step);
    return { status: answer.status, events: await eventsOf(answer.body, step, read) };
  };
}

async function undici(step) {
  const send = (step) =>
    undiciRequest(step.url, {
      method: step.method,
      headers: fieldsOf(step),
      body: isStreamed(step) ? streamed(step) : text(step),
      dispatcher: dispatcher(step.unix),
    });
  const read = async (step) => {
    const { statusCode, headers, body, trailers } = await send(step);
    const content = await whole(body);
    const fields = Object.entries(headers).flatMap(([name, values]) => [values].flat().map((value) => [name, value]));
    return { status: statusCode, fields, content: shown(content), trailers: Object.entries(trailers) };
  };
  if (step.kind === 'reuse') {
    connects = 0;
    for (let at = 0; at < 3; at += 1) await read(step);
    return { connections: Math.max(1, connects) };
  }
  if (step.kind === 'request') return read(step);
  const { statusCode, body } = await send(step);
  return { status: statusCode, events: await eventsOf(body, step, read) };
}

// http and https ---------------------------------------------------------------------------------------------------------

const agents = { 'http:': new http.Agent({ keepAlive: true, maxSockets: 8 }), 'https:': new https.Agent({ keepAlive: true }) };

// A tunnel to where a URL points; TLS inside it if it is an https one.
async function tunnel(url) {
  const authority = `${url.hostname}:${url.port}`;
  const asking = http.request({ ...address(plan.proxy), method: 'CONNECT', path: authority, headers: { host: authority } });
  asking.end();
  const [answer, socket] = await once(asking, 'connect');
  if (answer.statusCode !== 200) throw new Error(`CONNECT was answered ${answer.statusCode}`);
  if (url.protocol !== 'https:' && url.protocol !== 'wss:') return socket;
  const inside = tls.connect({ socket, ca, servername: url.hostname, ALPNProtocols: ['http/1.1'] });
  await once(inside, 'secureConnect');
  return inside;
}

function address(url) {
  const { hostname, port } = new URL(url);
  return { host: hostname, port };
}

// One agent for each origin; it keeps tunnels as others keep connections.
const agentsOfTunnels = new Map();

function tunnels(url) {
  if (!agentsOfTunnels.has(url.origin)) {
    const agent = new http.Agent({ keepAlive: true });
    agent.createConnection = (_, done) => {
      tunnel(url).then((socket) => done(null, socket), done);
    };
    agentsOfTunnels.set(url.origin, agent);
  }
  return agentsOfTunnels.get(url.origin);
}

async function begun(step) {
  const url = new URL(step.url);
  const how = { method: step.method, headers: fieldsOf(step), ca };
  if (step.unix) return http.request(url, { ...how, socketPath: step.unix });
  if (plan.proxy && (plan.tunnel || url.protocol === 'https:')) {
    const headers = { host: url.host, ...how.headers };
    return http.request(url.href.replace('https:', 'http:'), { ...how, agent: tunnels(url), setHost: false, headers });
  }
  if (plan.proxy) {
    return http.request({ ...how, ...address(plan.proxy), path: step.url, headers: { host: url.host, ...how.headers }, agent: agents['http:'] });
  }
  return (url.protocol === 'https:' ? https : http).request(url, { ...how, agent: agents[url.protocol] });
}

async function byHttp(step) {
  const interim = [];
  const send = async (step) => {
    const asking = await begun(step);
    const answered = once(asking, 'response');
    if (fieldsOf(step).expect) {
      asking.flushHeaders();
      const [refused] = await Promise.race([once(asking, 'continue'), answered]);
      // None of the content is sent then.
      if (refused) return refused;
      interim.push(100);
    }
    if (isStreamed(step)) streamed(step).pipe(asking);
    else asking.end(text(step));
    const [answer] = await answered;
    return answer;
  };
  const read = async (step) => {
    const answer = await send(step);
    // Of a tunnel's inside, the far end of what is outside.
    const end = (answer.socket.remotePort ? answer.socket : answer.socket._parent ?? answer.socket).localPort;
    const content = await whole(answer);
    if (!answer.req.writableEnded) answer.req.destroy();
    const told = { status: answer.statusCode, fields: pairs(answer.rawHeaders), content: shown(content), interim };
    return { ...told, trailers: pairs(answer.rawTrailers), end };
  };
  if (step.kind === 'reuse') {
    const ends = new Set();
    for (let at = 0; at < 3; at += 1) ends.add((await read(step)).end);
    return { connections: ends.size };
  }
  if (step.kind === 'request') return read(step);
  const answer = await send(step);
  return { status: answer.statusCode, events: await eventsOf(answer, step, read) };
}

// http2 ------------------------------------------------------------------------------------------------------------------

const connections = new Map();

async function connected(url, unix) {
  const key = unix ?? url.origin;
  if (!connections.has(key)) {
    const socket = unix ? net.connect(unix) : plan.proxy ? await tunnelForHttp2(url) : undefined;
    connections.set(key, http2.connect(url, { ca, createConnection: socket && (() => socket) }));
  }
  return connections.get(key);
}

async function tunnelForHttp2(url) {
  const plain = await tunnel(new URL(`http://${url.host}`));
  if (url.protocol === 'http:') return plain;
  const inside = tls.connect({ socket: plain, ca, servername: url.hostname, ALPNProtocols: ['h2'] });
  await once(inside, 'secureConnect');
  return inside;
}

async function byHttp2(step) {
  const send = async (step) => {
    const url = new URL(step.url);
    const target = { ':method': step.method, ':path': url.pathname + url.search, ...fieldsOf(step) };
    const stream = (await connected(url, step.unix)).request(target, { endStream: !step.content });
    if (isStreamed(step)) streamed(step).pipe(stream);
    else if (step.content) stream.end(text(step));
    let trailers = [];
    stream.on('trailers', (came) => (trailers = Object.entries(came)));
    const [fields] = await once(stream, 'response');
    return { stream, fields, trailers: () => trailers };
  };
  const read = async (step) => {
    const { stream, fields, trailers } = await send(step);
    const content = await whole(stream);
    const named = Object.entries(fields).filter(([name]) => !name.startsWith(':'));
    const flat = named.flatMap(([name, values]) => [values].flat().map((value) => [name, value]));
    return { status: fields[':status'], fields: flat, content: shown(content), trailers: trailers(), version: '2' };
  };
  if (step.kind === 'request') return read(step);
  const { stream, fields } = await send(step);
  return { status: fields[':status'], events: await eventsOf(stream, step, read) };
}

// ws ---------------------------------------------------------------------------------------------------------------------

async function byWebSocket(step) {
  const url = new URL(step.url.replace('http', 'ws'));
  const how = { headers: fieldsOf(step), ca };
  if (plan.proxy) {
    const socket = await tunnel(url);
    how.createConnection = () => socket;
  }
  // ws has its own way of writing a Unix socket's address.
  const socket = new WebSocket(step.unix ? `ws+unix:${step.unix}:${url.pathname}` : url, ['echo'], how);
  // From the beginning on: no message may be missed.
  const arrived = [];
  const waiting = [];
  socket.on('message', (...message) => (waiting.shift() ?? ((came) => arrived.push(came)))(message));
  const next = () => (arrived.length ? arrived.shift() : new Promise((go) => waiting.push(go)));
  await once(socket, 'open');
  const messages = [];
  for (const message of step.messages) {
    socket.send(message);
    messages.push(String((await next())[0]));
  }
  const large = Buffer.concat([...octets(step)]);
  socket.send(large);
  const same = large.equals((await next())[0]);
  socket.ping();
  await once(socket, 'pong');
  socket.send('close');
  const [close] = await once(socket, 'close');
  return { protocol: socket.protocol, messages, large: same, ping: true, close };
}

const libraries = {
  fetch: fetchWith(globalThis.fetch, () => ({})),
  'undici fetch': fetchWith(undiciFetch, (step) => ({ dispatcher: dispatcher(step.unix) })),
  undici,
  http: byHttp,
  http2: byHttp2,
  ws: byWebSocket,
};

const results = {};
for (const step of plan.steps) {
  try {
    results[step.name] = await libraries[plan.library](step);
  } catch (error) {
    results[step.name] = { error: `${error.message} ${error.cause ?? ''}` };
  }
}
process.stdout.write(JSON.stringify(results), () => process.exit(0));
