// Long-running loopback network for end-to-end tests.
//   node serve.mjs [--plc-port 2582] [--pds-ports 2583,2584] [--multikey] [--accounts 20] [--seed 1]
//                  [--calls 500] [--delay 0] [--halves] [--control-port 2590]
// --halves: every other account lives on the second PDS, instead of two in fifteen.
// Prints one JSON line {"ready":true,...} when up. Control server (loopback, POST unless noted):
//   /traffic?calls=N[&delay=ms][&specials=1][&migrate=0]   run N more seeded write calls (returns stats)
//   GET /accounts   did, handle, pds, state
//   /step?what=post|del|rotateKey|handleChange|deactivate|activate|takedown|restore|adminDelete|selfDelete|wipe|batch200|migrate&i=K[&to=P]
//   GET /truth              heads + records of every PDS, as NDJSON            GET /seq        current firehose seq per PDS
//   /drop?pds=P             close every client connection of PDS P (firehose sockets too)
//   /window?ms=N            a cursor that is older than this is outdated from now on
//   /stop                   orderly shutdown
import { startNet, Xrpc } from './net.mjs'
import http from 'node:http'
import { Traffic } from './traffic.mjs'
import { finalState } from './state.mjs'
const arg = (k, d) => { const i = process.argv.indexOf('--' + k); if (i < 0) return d; const v = process.argv[i + 1]; return v === undefined || v.startsWith('--') ? true : v }
const ports = String(arg('pds-ports', '2583')).split(',').map(Number)
const net = await startNet({ plcPort: Number(arg('plc-port', 2582)), pdsPorts: ports, multikey: !!arg('multikey', false) })
const sockets = net.pds.map((p) => { const s = new Set(); p.server.server.on('connection', (c) => { s.add(c); c.on('close', () => s.delete(c)) }); return s })
const t = new Traffic(net, { seed: Number(arg('seed', 1)), accounts: Number(arg('accounts', 20)), halves: !!arg('halves', false) })
const apis = net.pds.map((p) => new Xrpc(p.url))
let busy = Promise.resolve()
const serial = (fn) => { const r = busy.then(fn); busy = r.catch(() => {}); return r }
const traffic = (calls, delayMs = 0, specials = false, migrations = true) => serial(async () => { t.stats = {}; t.errors = {}; return t.run({ commits: calls, delayMs, specials, migrations }) })
const truth = async () => (await Promise.all(apis.map((a, i) => finalState(a, i)))).flatMap((s) => [...s.heads.map((h) => ({ kind: 'head', ...h })), ...s.records.map((r) => ({ kind: 'record', ...r }))])
const stop = async () => { await net.close().catch(() => {}); process.exit(0) }
const srv = http.createServer(async (req, res) => {
  const u = new URL(req.url, 'http://x'), q = u.searchParams, send = (x, code = 200) => { res.writeHead(code, { 'content-type': 'application/json' }); res.end(typeof x === 'string' ? x : JSON.stringify(x)) }
  try {
    switch (u.pathname) {
      case '/traffic': return send(await traffic(Number(q.get('calls') ?? 100), Number(q.get('delay') ?? 0), q.get('specials') === '1', q.get('migrate') !== '0'))
      case '/accounts': return send(t.acc.map((a) => ({ i: a.i, did: a.did, handle: a.handle, pds: a.p, state: a.state })))
      case '/seq': return send(await Promise.all(net.pds.map((p) => p.ctx.sequencer.curr())))
      case '/truth': return send((await serial(truth)).map((r) => JSON.stringify(r)).join('\n') + '\n')
      case '/drop': { const s = sockets[Number(q.get('pds') ?? 0)]; const n = s.size; for (const c of s) if (c !== req.socket) c.destroy(); return send({ dropped: n }) }
      case '/window': for (const p of net.pds) p.ctx.cfg.subscription.repoBackfillLimitMs = Number(q.get('ms')); return send({ ok: true })
      case '/step': {
        const a = t.acc[Number(q.get('i'))], what = q.get('what')
        const run = { post: () => t.create(a, 'space.atbb.post'), batch200: () => t.batch(a, 200, false), takedown: () => t.takedown(a, true), restore: () => t.takedown(a, false), migrate: () => t.migrate(a, Number(q.get('to') ?? 1)) }[what] ?? (() => t[what](a))
        await serial(run); return send({ ok: true, did: a.did, handle: a.handle, pds: a.p, state: a.state })
      }
      case '/stop': send({ ok: true }); return setTimeout(stop, 50)
      default: return send({ error: 'unknown' }, 404)
    }
  } catch (e) { send({ error: String(e?.message ?? e) }, 500) }
})
srv.listen(Number(arg('control-port', 2590)), async () => {
  const r = await traffic(Number(arg('calls', 200)), Number(arg('delay', 0)))
  console.log(JSON.stringify({ ready: true, plc: net.plcUrl, pds: net.pds.map((p) => p.url), control: `http://localhost:${srv.address().port}`, firehose: net.pds.map((p) => p.url.replace('http', 'ws') + '/xrpc/com.atproto.sync.subscribeRepos?cursor=0'), stats: r.stats, errors: r.errors }))
})
process.on('SIGTERM', stop); process.on('SIGINT', stop)
