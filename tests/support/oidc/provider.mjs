// The issuer of ostler's tests: a real OpenID provider (panva's oidc-provider) with two people, ann and bob, one public client for
// ostler, one that has a secret, and one for Dovecot, which asks whether a token is good. `tests/support/issuer.rs` starts it with one JSON argument.
//
// Whoever types the name `ann` or `bob` and any password is let in. Every request to the token endpoint is written down with
// what it wanted and how it was answered.

import { appendFileSync, readFileSync, existsSync, unlinkSync } from 'node:fs'
import https from 'node:https'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const options = JSON.parse(process.argv[2])
const require = createRequire(options.modules + '/')
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')).href)

const address = (name) => `${name}@example.net`

const provider = new Provider(`https://localhost:${options.port}`, {
  clients: [
    {
      client_id: 'ostler',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: options.redirect_uris,
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      response_types: ['code'],
    },
    {
      client_id: 'ostler-with-a-secret',
      client_secret: 'secret-of-the-registration',
      application_type: 'native',
      token_endpoint_auth_method: 'client_secret_post',
      redirect_uris: options.redirect_uris,
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
    },
    {
      client_id: 'dovecot',
      client_secret: 'introspection-of-the-test',
      redirect_uris: [],
      grant_types: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_basic',
      introspection_endpoint_auth_method: 'client_secret_basic',
    },
  ],
  scopes: ['openid', 'offline_access', 'email', 'mail'],
  claims: { email: ['email'] },
  conformIdTokenClaims: false,
  cookies: { keys: ['of the test'] },
  pkce: { required: () => true },
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
  },
  ttl: {
    AccessToken: () => options.access_ttl,
    RefreshToken: 3600,
    DeviceCode: options.device_ttl,
    AuthorizationCode: 60,
    IdToken: 3600,
    Interaction: 600,
    Session: 600,
    Grant: 3600,
  },
  rotateRefreshToken: options.rotate,
  issueRefreshToken: async (ctx, client, code) => code.scopes.has('offline_access'),
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, email: address(id) }) }),
  extraTokenClaims: (ctx, token) => ({ email: address(token.accountId) }),
})

// Deprecation notes and the like are not for the tests' screen.
provider.on('server_error', (ctx, error) => console.error(error))

const log = (line) => appendFileSync(options.log, line + '\n')

provider.use(async (ctx, next) => {
  // The test says how the next answers of the token endpoint are to be: `{"status":503,"body":"..","times":2}`.
  if (ctx.path === '/token' && existsSync(options.fault)) {
    const fault = JSON.parse(readFileSync(options.fault, 'utf8'))
    if (fault.grant === undefined || fault.grant === 'any') {
      unlinkSync(options.fault)
      log(`POST /token fault ${fault.status}`)
      // Never.
      if (fault.status === 0) await new Promise(() => {})
      // As some servers answer: without a length, and without the end that TLS has.
      if (fault.raw) {
        ctx.respond = false
        ctx.req.socket.write(fault.raw, () => ctx.req.socket.destroy())
        return
      }
      ctx.status = fault.status
      ctx.body = fault.body
      return
    }
  }
  await next()
  if (ctx.path === '/token') {
    const grant = ctx.oidc?.params?.grant_type ?? '?'
    const error = ctx.body?.error ?? ''
    log(`POST /token ${grant.split(':').pop()} ${ctx.status} ${error}`.trim())
    // What a sign-in has in it that nobody else may see.
    for (const name of ['code', 'code_verifier', 'device_code']) {
      const value = ctx.oidc?.params?.[name]
      if (value) appendFileSync(options.secrets, value + '\n')
    }
  } else if (ctx.path === '/token/revocation') {
    log(`POST /token/revocation ${ctx.status}`)
  }
})

https
  .createServer({ cert: readFileSync(options.cert), key: readFileSync(options.key) }, provider.callback())
  .listen(options.port, 'localhost', () => console.log('ready'))
