// A real OpenID provider (oidc-provider) on a loopback port, as strict as it comes: PKCE required, refresh tokens rotated at
// every use, a used one that comes again ends the whole grant. With the few pages that a person meets, and an API behind it.
import { createServer } from 'node:http';
// First, because what comes after it remarks that a provider of tests is no production setup.
import { options, serve, tell } from './lines.mjs';
import Provider, { errors } from 'oidc-provider';

const server = createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

// What happened, by its name.
const counts = {};
const count = (what) => {
  counts[what] = (counts[what] ?? 0) + 1;
};

const grants = ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'];
const client = (client_id, token_endpoint_auth_method, redirect_uris) => ({
  client_id,
  client_secret: token_endpoint_auth_method === 'none' ? undefined : `${client_id} secret: 100% +/=&`,
  token_endpoint_auth_method,
  redirect_uris,
  // A native application's loopback redirect may come to any port (RFC 8252 section 7.3).
  application_type: 'native',
  grant_types: grants,
  response_types: ['code'],
});
const loopback = ['http://127.0.0.1/callback', 'http://localhost/callback'];

const page = (title, content) =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><title>${title}</title><main><h1>${title}</h1>${content}</main></html>`;

const provider = new Provider(issuer, {
  clients: [
    client('basic', 'client_secret_basic', loopback),
    client('post', 'client_secret_post', loopback),
    client('none', 'none', loopback),
    // The one redirect URI, which may be left out, shows the code for the person to copy.
    client('paste', 'client_secret_post', [`${issuer}/code`]),
  ],
  scopes: ['openid', 'offline_access', 'orders:read'],
  claims: { openid: ['sub'] },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
  expiresWithSession: () => false,
  rotateRefreshToken: true,
  pkce: { required: () => true },
  cookies: { keys: ['of a test'] },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  ttl: {
    AccessToken: () => options.access_token_lifetime,
    AuthorizationCode: options.code_lifetime,
    DeviceCode: options.device_code_lifetime,
    RefreshToken: 86400,
    Grant: 86400,
    Session: 86400,
    Interaction: 3600,
    IdToken: 3600,
  },
  features: {
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: (_, client, token) => client.clientId === token.clientId },
    revocation: { enabled: true },
    deviceFlow: {
      enabled: true,
      userCodeInputSource: (ctx, form) => {
        ctx.body = page('Enter the code', `${form}<button form="op.deviceInputForm">Continue</button>`);
      },
      userCodeConfirmSource: (ctx, form, _, __, code) => {
        const buttons = ['', ' name="abort" value="yes"'].map(
          (abort) => `<button form="op.deviceConfirmForm"${abort}>${abort ? 'Deny' : 'Continue'}</button>`,
        );
        ctx.body = page('Is this your device?', `<p>${code}</p>${form}${buttons.join(' ')}`);
      },
      successSource: (ctx) => {
        ctx.body = page('Done', '<p>You can go back to your device.</p>');
      },
    },
  },
});

provider.on('grant.success', (ctx) => count(`granted ${ctx.oidc.params.grant_type}`));
provider.on('grant.error', (_, error) => {
  // Waiting for the person is the ordinary course of a device's login.
  if (error.message === 'authorization_pending') return count('pending');
  count(`refused ${error.error_detail ?? error.message}`);
});
provider.on('grant.revoked', () => count('grant revoked'));
provider.on('refresh_token.consumed', () => count('rotated'));
provider.on('server_error', (_, error) => count(`broken ${error.message}`));

const text = (response, status, type, content) => {
  response.writeHead(status, { 'content-type': `${type}; charset=utf-8`, 'cache-control': 'no-store' });
  response.end(content);
};

async function form(request) {
  let content = '';
  for await (const part of request) content += part;
  return new URLSearchParams(content);
}

// Login, then consent; any name is known and no password is asked.
async function interaction(request, response) {
  const { uid, prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  if (request.method !== 'POST') {
    const content =
      prompt.name === 'login'
        ? '<label>Name <input name="login" required></label> <button name="do" value="login">Log in</button>'
        : '<button name="do" value="allow">Allow</button> <button name="do" value="deny">Deny</button>';
    const title = prompt.name === 'login' ? 'Who are you?' : `May ${params.client_id} act for you?`;
    return text(response, 200, 'text/html', page(title, `<form action="/interaction/${uid}" method="post">${content}</form>`));
  }
  const filled = await form(request);
  if (prompt.name === 'login') {
    const result = { login: { accountId: filled.get('login') } };
    return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  }
  if (filled.get('do') !== 'allow') {
    const result = { error: 'access_denied', error_description: 'the person said no' };
    return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  }
  const { Grant } = provider;
  const grant = grantId
    ? await Grant.find(grantId)
    : new Grant({ accountId: session.accountId, clientId: params.client_id });
  const { missingOIDCScope, missingOIDCClaims } = prompt.details;
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
  if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
  const result = { consent: { grantId: await grant.save() } };
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

// What a resource server of this provider would do, by its own look into what was granted.
async function api(request, response) {
  const [scheme, value] = (request.headers.authorization ?? '').split(' ');
  const token = scheme === 'Bearer' && value ? await provider.AccessToken.find(value) : undefined;
  const grant = token?.isValid ? await provider.Grant.find(token.grantId) : undefined;
  if (!grant) {
    count(value ? 'api refused a token' : 'api saw no token');
    const error = value ? ' error="invalid_token"' : '';
    response.setHeader('www-authenticate', `Bearer${error}`);
    return text(response, 401, 'application/json', '{}');
  }
  count('api served');
  return text(response, 200, 'application/json', JSON.stringify({ sub: token.accountId, scope: token.scope ?? null }));
}

// Token requests under way, those that wait for a release, and whether new ones do.
const answering = new Set();
const waiting = new Set();
let holding = false;

// Nothing of a held request is looked at; one whose sender dies meanwhile was never here.
function hold(response) {
  return new Promise((go) => {
    const held = { go };
    waiting.add(held);
    response.on('close', () => waiting.delete(held));
  });
}

const provide = provider.callback();
server.on('request', async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, issuer);
  if (pathname === '/token') {
    if (holding) await hold(response);
    answering.add(response);
    response.on('close', () => answering.delete(response));
  }
  try {
    if (pathname.startsWith('/interaction/')) await interaction(request, response);
    else if (pathname.startsWith('/api/')) await api(request, response);
    else if (pathname === '/code') {
      const code = (searchParams.get('code') ?? searchParams.get('error') ?? '').replace(/[^\w-]/g, '');
      text(response, 200, 'text/html', page('Copy this', `<code>${code}</code>`));
    } else {
      if (pathname.startsWith('/.well-known/')) count('asked for metadata');
      provide(request, response);
    }
  } catch (error) {
    if (!(error instanceof errors.OIDCProviderError)) count(`broken ${error.message}`);
    text(response, 500, 'text/plain', String(error));
  }
});

async function until(condition) {
  while (!condition()) await new Promise((wait) => setTimeout(wait, 5));
}

serve(
  {
    counts: () => counts,
    hold: async () => {
      holding = true;
      await until(() => answering.size === 0);
    },
    waiting: () => waiting.size,
    release: () => {
      holding = false;
      for (const held of waiting) held.go();
      waiting.clear();
    },
    lifetimes: ({ access_token }) => {
      options.access_token_lifetime = access_token;
    },
  },
  () => server.closeAllConnections(),
);
tell({ issuer });
