// SPDX-License-Identifier: Apache-2.0
//
// An OAuth 2 and OpenID Connect server for the tests of fhir/smart and of the
// launch of the evidence page, on loopback and in memory. Theirs (npm
// oidc-provider, certified, MIT): the token endpoint, the client_credentials
// grant, the checks of private_key_jwt (signature by the client's jwks_uri, aud,
// exp, one use of each jti), the authorization endpoint, codes (one use each),
// PKCE, nonce, id tokens and their keys, iss in answers (RFC 9207), scopes,
// registration (RFC 7591), revocation (RFC 7009), and the metadata. Ours, below:
// the settings, their metadata at the address where SMART looks, a FHIR server
// that opens for a token that they find good and for no other, a sign-in that
// always is Practitioner/dr-7, and the launch context beside their tokens: the
// launch parameter is base64url of a JSON object, which comes back in the answer
// of the token endpoint.
//
// Not zitadel/oidc's op package (v3.51.17): its client_credentials grant looks at
// a client secret only, and its check of assertions at no jti, so that what is to
// be tested would have been ours.
//
// Roles for the sign-in of the audit console are a claim of the scope roles; POST
// /roles sets them, a JSON list.
//
// Usage: node server.mjs  — prints its address as the first line of stdout and
// runs until stdin closes or a signal comes.

import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const kinds = ['Condition', 'Encounter', 'Location', 'Medication', 'MedicationAdministration', 'MedicationRequest',
  'Observation', 'Patient', 'Procedure', 'ServiceRequest', 'Specimen'];
const scopes = kinds.flatMap((k) => [`system/${k}.rs`, `system/${k}.read`]);

const server = createServer();
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const issuer = `http://127.0.0.1:${server.address().port}`;
const fhir = `${issuer}/fhir`;

const jwk = (alg, pair) => ({ ...pair.privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: alg });
const keys = [
  jwk('RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })),
  jwk('ES384', generateKeyPairSync('ec', { namedCurve: 'P-384' })),
];
const launches = new Map(); // launch context by nonce
let roles = ['sepsis-auditor'];

const provider = new Provider(issuer, {
  scopes: ['openid', 'launch', 'roles', ...scopes],
  jwks: { keys },
  claims: { openid: ['sub'], fhirUser: ['fhirUser'], roles: ['roles'] },
  conformIdTokenClaims: false,
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, fhirUser: `${fhir}/Practitioner/${id}`, roles }) }),
  extraParams: ['launch', 'aud'],
  pkce: { required: () => true },
  interactions: { url: (_ctx, interaction) => `/signin/${interaction.uid}` },
  loadExistingGrant: async (ctx) => {
    const grant = new provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope('openid fhirUser launch roles');
    grant.addResourceScope(fhir, 'launch');
    await grant.save();
    return grant;
  },
  ttl: { ClientCredentials: 300, AuthorizationCode: 60, IdToken: 300, AccessToken: 300, Grant: 300, Interaction: 300, Session: 300 },
  clientDefaults: {
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    token_endpoint_auth_method: 'private_key_jwt',
  },
  clientAuthMethods: ['private_key_jwt', 'client_secret_basic', 'none'],
  enabledJWA: { clientAuthSigningAlgValues: ['ES384', 'RS384'], idTokenSigningAlgValues: ['RS256', 'ES384'] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    registration: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => fhir,
      useGrantedResource: () => true,
      // A client called narrow is granted less than it asks for, in silence.
      getResourceServerInfo: (_ctx, _resource, client) => ({
        audience: fhir,
        accessTokenFormat: 'opaque',
        accessTokenTTL: 300,
        scope: scopes.filter((s) => client.clientName !== 'narrow' || !s.includes('Observation')).join(' '),
      }),
    },
  },
  // The key sets of the tests lie on loopback, which it does not read by itself.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
});

// What was launched goes by the nonce of the request, which their code keeps.
provider.use(async (ctx, next) => {
  if (ctx.path === '/auth' && ctx.query.launch && ctx.query.nonce) {
    launches.set(ctx.query.nonce, JSON.parse(Buffer.from(ctx.query.launch, 'base64url').toString()));
  }
  await next();
  const nonce = ctx.oidc?.entities?.AuthorizationCode?.nonce;
  if (ctx.path === '/token' && ctx.status === 200 && nonce) {
    ctx.body = { ...ctx.body, ...launches.get(nonce) };
  }
});

const json = (res, status, body) => {
  res.writeHead(status, { 'Content-Type': status === 200 && body.resourceType ? 'application/fhir+json' : 'application/json' });
  res.end(JSON.stringify(body));
};

const callback = provider.callback();
server.on('request', async (req, res) => {
  const path = req.url.split('?')[0];
  if (path === '/fhir/.well-known/smart-configuration') {
    const theirs = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
    json(res, 200, { ...theirs, capabilities: ['client-confidential-asymmetric', 'client-public', 'launch-ehr', 'sso-openid-connect', 'context-ehr-patient', 'permission-v1', 'permission-v2'] });
    return;
  }
  if (path === '/roles' && req.method === 'POST') {
    let body = '';
    for await (const chunk of req) body += chunk;
    roles = JSON.parse(body);
    json(res, 200, roles);
    return;
  }
  if (path.startsWith('/signin/')) {
    await provider.interactionDetails(req, res);
    await provider.interactionFinished(req, res, { login: { accountId: 'dr-7' } });
    return;
  }
  if (!path.startsWith('/fhir/')) {
    callback(req, res);
    return;
  }
  const token = await provider.ClientCredentials.find((req.headers.authorization ?? '').replace(/^Bearer /, ''));
  const kind = path.split('/')[2];
  if (!token?.isValid) {
    json(res, 401, { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'login' }] });
  } else if (!token.scopes.has(`system/${kind}.rs`) && !token.scopes.has(`system/${kind}.read`)) {
    json(res, 403, { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'forbidden' }] });
  } else {
    json(res, 200, { resourceType: 'Bundle', type: 'searchset', total: 0, entry: [] });
  }
});

console.log(issuer);
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
