// Whole repositories from the reference PDS, into both stores.
//   node backfill.mjs [--accounts N] [--seed N] [--only abc] [--keep] PENSTOCK
//
// Two PDS and a PLC directory run on loopback. Before penstock starts for the first time, N accounts have written, edited and
// deleted records of every kind, and some of them were deactivated, taken down, moved, deleted, emptied, or got a new key.
//
//   A  `penstock run` with empty stores, while the writing and all of the above go on.
//   B  The same through fronts that fail (faulty_host.mjs): archives truncated, cut off, corrupted and old, storms of 429, one
//      PDS down for half of the time; and penstock is killed every few seconds. Each fault has to show under its name, and no
//      host may see more requests than it was promised.
//   C  What is deleted while penstock is off, or within a gap of the stream, is gone afterwards; the gap is closed.
//
// Each ends alike: the visible rows are exactly what the PDS serve of the filter's collections, all of them proven in full, and
// nothing is left to do: no account out of step, no event held, no open gap, no task.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { recordDifferences } from './compare.mjs'
import { Consumer, settle } from './consumer.mjs'
import { FaultyHosts, aheadOf } from './faulty_host.mjs'
import { Network } from './network.mjs'
import { PostgresStore, SqliteStore } from './stores.mjs'
import { rng, sleep, tail } from './util.mjs'

const options = { seed: Number(process.env.PENSTOCK_E2E_SEED ?? Date.now() % 1000000), accounts: 40, only: 'abc', keep: false }
const words = []
for (let i = 2; i < process.argv.length; i++) {
  const a = process.argv[i]
  if (a === '--keep') options.keep = true
  else if (a === '--seed' || a === '--accounts') options[a.slice(2)] = Number(process.argv[++i])
  else if (a === '--only') options.only = process.argv[++i]
  else words.push(a)
}
if (words.length !== 1) { console.error('usage: run-backfill [--accounts N] [--seed N] [--only abc] [--keep] PENSTOCK'); process.exit(2) }
const penstock = path.resolve(words[0])
const random = rng(options.seed)
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'penstock-backfill-'))
const started = Date.now()
const say = (text) => console.log(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${text}`)

const FILTERS = { everything: ['*'], forum: ['space.atbb.*', 'com.huddle.*'] }
const wantedBy = (filter) => (collection) => FILTERS[filter].some((rule) => rule === '*' || collection.startsWith(rule.slice(0, -1)))

// Nobody waits here for the sake of a stranger's host, nor for the next look at the directory after a move.
const QUICK = ['--refresh-interval', '2', '--retry-first', '1', '--retry-most', '3', '--retry-attempts', '100', '--resync-first', '1', '--resync-most', '3']
const FAST = [...QUICK, '--host-rate', '500', '--host-burst', '500']
const RATE = { perSecond: 15, burst: 10 }
const DIRECTORY = { perSecond: 500, burst: 2000 }
const RATED = [...QUICK, '--host-rate', String(RATE.perSecond), '--host-burst', String(RATE.burst)]

// How a store is filled: `hosts` are the PDS as the documents name them.
function consumerOf(store, filter, hosts, { directory = hosts.directory, more = [], agents = false } = {}) {
  const consumer = new Consumer(penstock, dir, store, (start) => [
    ...hosts.pds.flatMap((url) => ['--pds', url.replace('http', 'ws')]), '--collections', FILTERS[filter].join(','),
    '--directory', directory.replace('localhost', '127.0.0.1'), '--directory-rate', '500', '--allow-private-addresses', '--no-verify-handles',
    ...(agents ? ['--user-agent', `${store.name}#${start}`] : []), ...more])
  return Object.assign(consumer, { filter })
}

// --- What accounts go through -----------------------------------------------------------------------------------------------

// Each kind with accounts of its own. A real PDS serves a moved account's archive signed with the old key until it writes again.
const LIVES = {
  rest: async (i) => { await network.step('deactivate', i) },
  'come back': async (i) => { await network.step('deactivate', i); await network.step('activate', i); await network.step('post', i) },
  takedown: async (i) => { await network.step('takedown', i) },
  restore: async (i) => { await network.step('takedown', i); await network.step('restore', i) },
  move: async (i, a) => { await network.step('migrate', i, `&to=${1 - a.pds}`); await network.step('post', i) },
  'admin delete': async (i) => { await network.step('adminDelete', i) },
  'self delete': async (i) => { await network.step('selfDelete', i) },
  'new key': async (i) => { await network.step('rotateKey', i) },
  'new key, write': async (i) => { await network.step('rotateKey', i); await network.step('post', i) },
  wipe: async (i) => { await network.step('wipe', i) },
  'wipe, write': async (i) => { await network.step('wipe', i); await network.step('post', i) },
  'new name': async (i) => { await network.step('handleChange', i) },
  batch: async (i) => { await network.step('batch200', i) },
}
// Of accounts that nothing has happened to yet, as long as there are any. Who came from a host cannot move back to it.
let untouched = []
const moved = new Set()
async function live(what, tries = 5) {
  const accounts = await network.accounts()
  const fits = (i) => accounts[i].state === 'active' && !(what === 'move' && moved.has(i))
  if (!untouched.some(fits)) untouched = accounts.map((a) => a.i).sort(() => random() - 0.5)
  const [i] = untouched.splice(untouched.findIndex(fits), 1)
  if (what === 'move') moved.add(i)
  try {
    await LIVES[what](i, accounts[i])
  } catch (e) {
    if (tries === 1 || !/applyWrites/.test(e.message)) throw e // some batches the PDS does not take: of somebody else, then
    await live(what, tries - 1)
  }
}
// `times` of each, with `calls` writes of anybody in between.
async function lives(times, calls, delay = 0) {
  const order = Object.keys(LIVES).flatMap((what) => Array(times).fill(what)).sort(() => random() - 0.5)
  for (const what of order) {
    if (calls) await network.call(`/traffic?calls=${calls}&delay=${delay}`)
    await live(what)
  }
}

// --- How it has to end ------------------------------------------------------------------------------------------------------

const ACTIVE_UNSETTLED = "SELECT did, sync_state, reason FROM repo WHERE active AND sync_state <> 'synchronized'"
const UNFINISHED = {
  'account out of step': ACTIVE_UNSETTLED,
  // Those of an account that is gone for now wait until it is back.
  'held event': 'SELECT did, seq, reason FROM held_event WHERE NOT EXISTS (SELECT 1 FROM repo WHERE repo.did = held_event.did AND NOT active)',
  'open gap': 'SELECT * FROM gap WHERE closed_at IS NULL',
  'open task': "SELECT did, state, attempts, cause, detail FROM backfill_task WHERE state IN ('queued', 'running')",
  'open run': "SELECT id, kind, subject FROM backfill_run WHERE state = 'open' AND kind <> 'resync'",
}

// Until nothing is left to do.
async function finish(consumers, seconds) {
  const until = Date.now() + seconds * 1000
  for (const c of consumers) {
    for (;;) {
      c.check()
      const left = Object.entries(UNFINISHED).map(([what, sql]) => [what, c.rows(sql)]).filter(([, rows]) => rows.length)
      if (!left.length && c.rows("SELECT id FROM backfill_run WHERE kind = 'filter'").length) break
      if (Date.now() > until) throw new Error(`${c.store.name}: still unfinished: ${left.map(([what, rows]) => `${rows.length} × ${what}: ${JSON.stringify(rows.slice(0, 3))}`).join('\n  ')}\n${tail(c.log)}`)
      await sleep(200)
    }
  }
}

const countBy = (rows, name) => Object.fromEntries([...Map.groupBy(rows, name)].map(([k, all]) => [k ?? '', all.length]))

function differences(c, truth) {
  const { wrong, ...counts } = recordDifferences(c.store, truth, { wanted: wantedBy(c.filter) })
  // Tombstones, too. What an account wrote that is gone for now cannot be proven further, and is not shown.
  for (const row of c.store.query("SELECT did, collection, rkey, verification, deleted FROM record WHERE verification NOT IN ('full', 'export') AND NOT EXISTS (SELECT 1 FROM repo WHERE repo.did = record.did AND NOT active)")) wrong.push(`weak row: ${JSON.stringify(row)}`)
  const active = new Set(truth.heads.filter((h) => h.active).map((h) => h.did))
  for (const row of c.store.query("SELECT did, attempts, cause, detail FROM backfill_task WHERE state = 'failed'")) if (active.has(row.did)) wrong.push(`failed task: ${JSON.stringify(row)}`)
  // An account that is followed stands where its PDS does.
  const heads = new Map(truth.heads.filter((h) => h.active).map((h) => [h.did, h]))
  for (const row of c.store.query('SELECT did, rev, commit_cid, active, sync_state FROM repo WHERE rev IS NOT NULL')) {
    const head = heads.get(row.did)
    if (!head || !row.active) continue
    if (row.commit_cid !== head.head) wrong.push(`${row.did} stands at ${row.rev} ${row.commit_cid}, its PDS at ${head.rev} ${head.head}`)
  }
  return { wrong, ...counts, how: countBy(c.store.query('SELECT verification FROM visible_record'), (r) => r.verification),
    followed: c.store.query("SELECT did FROM repo WHERE sync_state = 'synchronized'").length,
    tasks: countBy(c.store.query('SELECT state, cause FROM backfill_task'), (r) => r.cause || r.state),
    refused: countBy(c.store.query('SELECT reject FROM dead_letter'), (r) => r.reject) }
}

async function compare(consumers, when, seconds = 60 + options.accounts) {
  // A source that was away all the time has shown nothing yet: a cursor comes with the first event.
  for (const until = Date.now() + seconds * 1000; consumers.some((c) => c.positions().length < 2) && Date.now() < until; await sleep(2000)) {
    const accounts = await network.accounts()
    for (const pds of [0, 1]) await network.step('post', accounts.find((a) => a.state === 'active' && a.pds === pds).i)
  }
  await settle(consumers, await network.seqs(), seconds)
  await finish(consumers, seconds)
  const truth = await network.truth()
  for (const c of consumers) {
    c.check()
    const { wrong, ...d } = differences(c, truth)
    if (wrong.length) throw new Error(`${when}, ${c.store.name}: ${wrong.length} differences\n  ${wrong.slice(0, 15).join('\n  ')}\n${tail(c.log)}`)
    say(`${when}, ${c.store.name}, ${FILTERS[c.filter]}: ${d.records} records of ${d.repos} active repos equal ${JSON.stringify(d.how)}, ${d.hidden} repos hidden, ${d.followed} followed; tasks ${JSON.stringify(d.tasks)}, refused ${JSON.stringify(d.refused)}`)
  }
  return truth
}

// --- A: from nothing, while life goes on ---------------------------------------------------------------------------------

// A share of the accounts has nothing that the forum's filter wants, and is not followed by it.
async function fromNothing() {
  const consumers = stores.map(({ store, filter }) => consumerOf(store, filter, network, { more: FAST }))
  running.push(...consumers)
  consumers.forEach((c) => c.start())
  await lives(Math.max(1, Math.round(options.accounts / 60)), 10, 10)
  await compare(consumers, 'A, from nothing')
  return consumers
}

// --- B: the same, with everything that goes wrong --------------------------------------------------------------------------

const FAULTS = ['host_limited', 'host_unavailable', 'car_truncated', 'car_block_cid_mismatch', 'stale_export']

async function throughFaults() {
  const hosts = await FaultyHosts.start(network.pds, network.directory, options.seed)
  try {
    const consumers = stores.filter(({ faulty }) => faulty).map(({ filter, faulty }) => consumerOf(faulty, filter, hosts, { more: RATED, agents: true }))
    running.push(...consumers)
    const seen = new Map(consumers.map((c) => [c, new Set()]))
    const look = () => {
      for (const c of consumers) {
        c.check()
        for (const table of ['task', 'listing']) for (const { cause } of c.rows(`SELECT DISTINCT cause FROM backfill_${table} WHERE cause <> ''`)) seen.get(c).add(cause)
      }
    }
    for (const i of [0, 1]) await hosts.remember(i)
    await network.call(`/traffic?calls=${options.accounts}`) // so that what is remembered is old

    // One PDS is down for the first half of the storm; after each half all that could be done is done.
    const down = random.int(2), seconds = 12 + options.accounts / 4
    const archives = { share: 0.5, kinds: ['truncated', 'corrupted', 'old', 'cut', 'failed'] }
    let kills = 0
    const storm = async () => {
      for (const until = Date.now() + seconds * 1000; Date.now() < until; kills++) {
        for (const next = Date.now() + 2000 + random.int(3000); Date.now() < next; await sleep(100)) look()
        await random.pick(consumers).restart('SIGKILL', random.int(300))
      }
    }
    await hosts.set(down, { down: true })
    await hosts.set(1 - down, { archives, limited: { share: 0.3 } })
    consumers.forEach((c) => c.start())
    const traffic = lives(Math.max(1, Math.round(options.accounts / 100)), 5, 20)
    await Promise.all([traffic, storm().then(async () => {
      for (const i of [0, 1]) await hosts.set(i, { archives, limited: { share: 0.3, after: 1 } })
      await storm()
    })])
    for (const i of [0, 1]) await hosts.set(i, {})
    say(`B: ${kills} kills in ${2 * seconds} s, PDS ${down} was down for the first half`)
    const truth = await compare(consumers, 'B, through faults')

    // Accounts that are in step are fetched anew, from hosts that are behind or spoil each archive: nothing changes, and it is
    // tried again until they are well.
    for (const i of [0, 1]) await hosts.set(i, { archives: { share: 1, kinds: ['old', 'truncated', 'corrupted'] } })
    const asked = consumers.map((c) => {
      const followed = new Set(c.store.query("SELECT did FROM repo WHERE sync_state = 'synchronized' AND active").map((r) => r.did))
      return c.verb('resync', ...truth.heads.filter((h) => h.active && followed.has(h.did)).slice(0, 20).map((h) => h.did))
    })
    asked.forEach((one) => one.catch(() => {}))
    for (const until = Date.now() + 30000; consumers.some((c) => FAULTS.some((name) => !seen.get(c).has(name))) && Date.now() < until; await sleep(100)) look()
    for (const i of [0, 1]) await hosts.set(i, {})
    for (const one of asked) await one
    await compare(consumers, 'B, after bad copies')
    for (const c of consumers) await c.stop('SIGTERM')

    for (const c of consumers) {
      const missing = FAULTS.filter((name) => !seen.get(c).has(name))
      say(`B, ${c.store.name}: causes seen: ${[...seen.get(c)].sort().join(' ')}`)
      if (missing.length) throw new Error(`${c.store.name}: never seen as a cause: ${missing.join(' ')}`)
    }
    // Each process counts for itself.
    for (const [i, host] of (await hosts.report()).entries()) {
      const what = i < 2 ? `PDS ${i}` : 'the directory'
      const most = Math.max(...[...Map.groupBy(host.requests, (r) => r.agent).values()].map((rs) => aheadOf(rs.map((r) => r.at), i < 2 ? RATE : DIRECTORY)))
      say(`B, ${what}: ${host.requests.length} requests; done to them: ${Object.entries(host.done).map(([k, n]) => `${n} ${k}`).join(', ') || 'nothing'}; ${most > 0 ? '' : 'never '}ahead of its rate (${most.toFixed(1)})`)
      if (most > 0) throw new Error(`${what} saw ${most.toFixed(1)} requests more at once than its rate allows`)
    }
  } finally {
    await hosts.stop()
  }
}

// --- C: what nobody saw ----------------------------------------------------------------------------------------------------

// While nobody listens, records go, come and change; a repository is emptied, an account is deleted.
async function unseen() {
  const before = await network.truth()
  await network.call(`/traffic?calls=${options.accounts}`)
  for (const what of ['wipe', 'admin delete', 'takedown', 'move']) await live(what)
  const active = (await network.accounts()).filter((a) => a.state === 'active')
  for (let n = 0; n < 5; n++) await network.step('del', random.pick(active).i)
  return before
}

// Everything that was there before and is not any more, of accounts that are: tombstones.
function tombstones(consumers, before, after, when) {
  const key = (r) => `${r.did}/${r.collection}/${r.rkey}`
  const active = new Set(after.heads.filter((h) => h.active).map((h) => h.did)), left = new Set(after.records.map(key))
  for (const c of consumers) {
    const gone = before.records.filter((r) => active.has(r.did) && !left.has(key(r)) && wantedBy(c.filter)(r.collection))
    const rows = new Map(c.store.query('SELECT did, collection, rkey, op, value, verification FROM record WHERE deleted').map((r) => [key(r), r]))
    const wrong = gone.filter((r) => !rows.has(key(r)) || rows.get(key(r)).value !== null)
    if (!gone.length || wrong.length) throw new Error(`${when}, ${c.store.name}: ${wrong.length} of ${gone.length} deleted records are no tombstones: ${wrong.slice(0, 5).map(key).join(' ')}`)
    say(`${when}, ${c.store.name}: ${gone.length} records that went are tombstones ${JSON.stringify(countBy(gone, (r) => rows.get(key(r)).verification))}`)
  }
}

async function absence(consumers) {
  for (const c of consumers) await c.stop('SIGTERM')
  let before = await unseen()
  consumers.forEach((c) => c.start())
  tombstones(consumers, before, await compare(consumers, 'C, after an absence'), 'C, after an absence')

  for (const hidden of ['outdated cursor', 'no cursor']) {
    for (const c of consumers) await c.stop('SIGTERM')
    const known = new Map(consumers.map((c) => [c, c.store.query('SELECT * FROM gap').length]))
    const gaps = (c) => c.rows('SELECT source, opened_seq, reason, opened_at, closed_at FROM gap ORDER BY opened_at').slice(known.get(c))
    before = await unseen()
    const accounts = await network.accounts(), active = (pds) => accounts.find((a) => a.state === 'active' && a.pds === pds).i
    await sleep(1000)
    if (hidden === 'outdated cursor') await network.call('/window?ms=500')
    else for (const c of consumers) for (const { source } of c.positions()) await c.verb('cursor clear', source)
    consumers.forEach((c) => c.start())
    // The next event shows where a gap ends. Each is open for a while, and closed in the moment in which its run ends.
    const caught = new Set(), closed = (c) => gaps(c).length >= 2 && gaps(c).every((g) => g.closed_at !== null)
    for (const until = Date.now() + 60000; Date.now() < until && !consumers.every(closed);) {
      for (const pds of [0, 1]) await network.step('post', active(pds))
      for (const next = Date.now() + 3000; Date.now() < next; await sleep(20)) {
        for (const c of consumers) { c.check(); if (gaps(c).some((g) => g.closed_at === null)) caught.add(c) }
      }
    }
    for (const c of consumers) {
      if (!closed(c) || !caught.has(c)) throw new Error(`C, ${hidden}, ${c.store.name}: no gap of each PDS that was open and is closed: ${JSON.stringify(gaps(c))}\n${tail(c.log)}`)
      const runs = c.rows("SELECT subject, started_at, ended_at FROM backfill_run WHERE kind = 'gap'")
      for (const g of gaps(c)) if (!runs.some((r) => r.ended_at === g.closed_at && r.started_at >= g.opened_at)) throw new Error(`C, ${c.store.name}: gap ${JSON.stringify(g)} was not closed by a run: ${JSON.stringify(runs)}`)
      say(`C, ${hidden}, ${c.store.name}: ${gaps(c).map((g) => `${g.source} ${g.reason} open for ${((g.closed_at - g.opened_at) / 1e6).toFixed(2)} s`).join(', ')}`)
    }
    await network.call('/window?ms=86400000')
    tombstones(consumers, before, await compare(consumers, `C, ${hidden}`), `C, ${hidden}`)
  }
}

// ---------------------------------------------------------------------------------------------------------------------------

const network = new Network(dir, ['--accounts', options.accounts, '--calls', options.accounts * 10, '--halves', '--seed', options.seed])
const stores = [], servers = [], running = []
let failure = null
const cleanup = async () => {
  running.forEach((c) => c.abandon())
  servers.forEach((s) => s.stop())
  await network.stop()
}
// Whatever ends this process early takes the servers with it: a signal, or a test that hangs (bound below ctest's own).
const abort = async (why) => { say(`FAILED (seed ${options.seed}): ${why}; logs in ${dir}`); await cleanup(); process.exit(1) }
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => abort(signal))
const limit = 300 + 15 * Math.max(0, options.accounts - 40)
setTimeout(() => abort(`not done after ${limit} s`), limit * 1000).unref()
try {
  say(`seed ${options.seed} (again: --seed ${options.seed}), ${options.accounts} accounts, logs in ${dir}`)
  stores.push({ store: new SqliteStore(dir), filter: 'everything' }, { store: new SqliteStore(dir, 'sqlite-forum'), filter: 'forum', faulty: new SqliteStore(dir, 'sqlite-faulty') })
  const bin = PostgresStore.find()
  if (bin) {
    const postgres = new PostgresStore(dir, bin)
    servers.push(postgres)
    stores.push({ store: postgres, filter: 'everything', faulty: postgres.another('faulty') }, { store: postgres.another('forum'), filter: 'forum' })
  } else {
    say('no PostgreSQL server is installed: SQLite only')
  }
  await network.start()
  await lives(Math.max(1, Math.round(options.accounts / 60)), 0)
  await network.call(`/traffic?calls=${options.accounts}`)
  const history = await network.truth()
  say(`before the first start: ${history.records.length} records of ${history.heads.filter((h) => h.active).length} active repos, ${history.heads.filter((h) => !h.active).length} hidden, at ${network.pds.join(', ')}`)
  if (/[ac]/.test(options.only)) {
    const consumers = await fromNothing()
    if (options.only.includes('c')) await absence(consumers)
    for (const c of consumers) { await c.stop('SIGTERM'); c.check() }
  }
  if (options.only.includes('b')) await throughFaults()
  say('passed')
} catch (e) {
  failure = e
  say(`FAILED (seed ${options.seed}): ${e.stack}`)
} finally {
  await cleanup()
  if (options.keep || failure) console.log(`kept: ${dir}`)
  else fs.rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
}
process.exit(failure ? 1 : 0)
