// Penstock against the reference PDS, into both stores at once.
//   node acceptance.mjs [--seed N] [--calls N] [--verify full|cid] [--keep] PENSTOCK
//
// Two PDS and a PLC directory run on loopback. For each store one `penstock run` follows both. While seeded traffic goes on, at random moments:
// all connections of a PDS are cut, penstock is killed (SIGKILL) or asked to stop (SIGTERM) and started again, PostgreSQL is
// restarted as an orderly stop or as a crash. Then the traffic ends, the durable cursors must reach the last seq of each PDS,
// and the visible rows must be exactly what the PDS serve: every record of every active repository, with bytes that hash to its
// CID, nothing of the others, no gap, no quarantined frame.
//
// At --verify full (the default) each PDS is followed as such (--pds), keys are rotated, handles change, accounts are deactivated,
// taken down, restored, emptied and moved from one PDS to the other. Then every account that never desynchronised must be equal,
// and nothing may be refused but what the reference PDS sends wrong: after a move, the first #sync with the old key's commit, and
// what the old PDS still says of an account that has left it.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { movedAccounts, recordDifferences } from './compare.mjs'
import { Consumer, settle } from './consumer.mjs'
import { Network } from './network.mjs'
import { PostgresStore, SqliteStore } from './stores.mjs'
import { rng, sleep, tail } from './util.mjs'

const options = { seed: Number(process.env.PENSTOCK_E2E_SEED ?? Date.now() % 1000000), calls: 1200, verify: 'full', keep: false }
const words = []
for (let i = 2; i < process.argv.length; i++) {
  const a = process.argv[i]
  if (a === '--keep') options.keep = true
  else if (a === '--seed' || a === '--calls') options[a.slice(2)] = Number(process.argv[++i])
  else if (a === '--verify') options.verify = process.argv[++i]
  else words.push(a)
}
if (words.length !== 1) { console.error('usage: run [--seed N] [--calls N] [--verify full|cid] [--keep] PENSTOCK'); process.exit(2) }
const penstock = path.resolve(words[0])
const random = rng(options.seed)
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'penstock-e2e-'))
const started = Date.now()
const say = (text) => console.log(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${text}`)

// At full, a PDS is believed about the accounts that name it, so the name in the documents is the one to follow.
function argumentsOf(network) {
  const cid = options.verify === 'cid'
  const sources = network.pds.map((url) => url.replace('http', 'ws')).map((url) => (cid ? ['--relay', url.replace('localhost', '127.0.0.1')] : ['--pds', url]))
  const how = cid ? ['--verify', 'cid'] : ['--directory', network.directory, '--directory-rate', '500', '--refresh-interval', '5', '--allow-private-addresses', '--no-verify-handles']
  return [...sources.flat(), '--collections', '*', '--cursor', '0', ...how]
}

// What is wrong with the rows of one store, as lines.
function differences(store, truth, moved) {
  // Who is not synchronized (its chain broke, or it was first seen in mid-life) has to be fetched, which is another test's matter.
  const full = options.verify !== 'cid', apart = new Set()
  if (full) for (const r of store.query("SELECT did FROM repo WHERE sync_state IS NULL OR sync_state <> 'synchronized'")) apart.add(r.did)
  const { wrong, ...counts } = recordDifferences(store, truth, { apart })
  const refused = {}
  for (const row of store.query('SELECT did, seq, reject, detail FROM dead_letter')) {
    refused[row.reject] = (refused[row.reject] ?? 0) + 1
    if (!moved.has(row.did) || !['signature_mismatch', 'account_wrong_host'].includes(row.reject)) wrong.push(`dead_letter: ${JSON.stringify(row).slice(0, 300)}`)
  }
  for (const table of ['gap', 'quarantine']) for (const row of store.query(`SELECT * FROM ${table}`)) wrong.push(`${table}: ${JSON.stringify(row).slice(0, 300)}`)
  if (full) for (const row of store.query("SELECT did, rkey, verification FROM record WHERE verification NOT IN ('full', 'export')")) if (!apart.has(row.did)) wrong.push(`weak row: ${JSON.stringify(row)}`)
  if (apart.size > truth.heads.length / 4) wrong.push(`${apart.size} of ${truth.heads.length} accounts are not synchronized: ${[...apart].join(' ')}`)
  return { wrong, ...counts, apart: apart.size, refused }
}

// Until nothing waits but the events of accounts whose chain broke.
async function held(c, seconds) {
  const until = Date.now() + seconds * 1000
  const waiting = () => c.store.query("SELECT did, seq, reason FROM held_event WHERE did NOT IN (SELECT did FROM repo WHERE sync_state = 'desynchronized')")
  for (let rows; (rows = waiting()).length; await sleep(200)) {
    c.check()
    if (Date.now() > until) throw new Error(`${c.store.name}: still held: ${JSON.stringify(rows.slice(0, 5))}\n${tail(c.log)}`)
  }
}

async function compare(network, consumers, when) {
  await settle(consumers, await network.seqs(), 60)
  const truth = await network.truth()
  const moved = movedAccounts(truth)
  for (const c of consumers) {
    c.check()
    if (options.verify !== 'cid') await held(c, 60)
    const d = differences(c.store, truth, moved)
    if (d.wrong.length) throw new Error(`${when}, ${c.store.name}: ${d.wrong.length} differences\n  ${d.wrong.slice(0, 15).join('\n  ')}\n${tail(c.log)}`)
    say(`${when}, ${c.store.name}: ${d.records} records of ${d.repos} active repos equal, ${d.hidden} repos hidden, ${moved.size} moved, ${d.apart} apart, refused ${JSON.stringify(d.refused)}`)
  }
}

// Until `done`, something goes wrong every half second or so.
async function disturb(network, consumers, done) {
  const counts = {}
  const postgres = consumers.map((c) => c.store).find((s) => s.restart)
  const acts = {
    drop: () => network.call(`/drop?pds=${random.int(2)}`),
    kill: () => random.pick(consumers).restart('SIGKILL', random.int(400)),
    stop: () => random.pick(consumers).restart('SIGTERM', random.int(400)),
    ...(postgres && { 'postgres stop': () => postgres.restart('fast'), 'postgres crash': () => postgres.restart('immediate') }),
  }
  const names = Object.keys(acts), order = []
  for (let n = 0; !done.now || n < names.length; n++) {
    if (!order.length) order.push(...names.map((x) => [random(), x]).sort().map(([, x]) => x)) // each kind as often as the others
    const what = order.pop()
    await sleep(100 + random.int(900))
    await acts[what]()
    counts[what] = (counts[what] ?? 0) + 1
    consumers.forEach((c) => c.check())
  }
  return counts
}

const network = new Network(dir, ['--accounts', 34, '--calls', 100, '--seed', options.seed])
const stores = []
let consumers = [], failure = null
const cleanup = async () => {
  consumers.forEach((c) => c.abandon())
  stores.forEach((s) => s.stop())
  await network.stop()
}
// Whatever ends this process early takes the servers with it: a signal, or a test that hangs (bound below ctest's own).
const abort = async (why) => { say(`FAILED (seed ${options.seed}): ${why}; logs in ${dir}`); await cleanup(); process.exit(1) }
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => abort(signal))
setTimeout(() => abort('not done after 240 s'), 240000).unref()
try {
  say(`seed ${options.seed} (again: --seed ${options.seed}), ${options.calls} write calls, logs in ${dir}`)
  stores.push(new SqliteStore(dir))
  const bin = PostgresStore.find()
  if (bin) stores.push(new PostgresStore(dir, bin))
  else say('no PostgreSQL server is installed: SQLite only')
  await network.start()
  say(`two PDS at ${network.pds.join(', ')}`)
  consumers = stores.map((s) => new Consumer(penstock, dir, s, argumentsOf(network)))
  consumers.forEach((c) => c.start())
  await compare(network, consumers, 'before the storm')

  // At level cid nobody can tell which of two PDS may speak for an account that moved.
  const done = { now: false }
  const traffic = network.call(`/traffic?calls=${options.calls}&delay=20&specials=1${options.verify === 'cid' ? '&migrate=0' : ''}`).finally(() => { done.now = true })
  const [result, counts] = await Promise.all([traffic, disturb(network, consumers, done)])
  say(`the storm: ${JSON.stringify(counts)}; traffic ${JSON.stringify(JSON.parse(result).stats)}`)
  await compare(network, consumers, 'after the storm')

  // What happens while nobody listens is caught up from the cursor.
  for (const c of consumers) await c.stop('SIGTERM')
  await network.call(`/traffic?calls=${Math.ceil(options.calls / 4)}`)
  consumers.forEach((c) => { c.check(); c.start() })
  await compare(network, consumers, 'after an absence')
  for (const c of consumers) { await c.stop('SIGTERM'); c.check() }
  say('passed')
} catch (e) {
  failure = e
  say(`FAILED (seed ${options.seed}): ${e.message}`)
} finally {
  await cleanup()
  if (options.keep || failure) console.log(`kept: ${dir}`)
  else fs.rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
}
process.exit(failure ? 1 : 0)
