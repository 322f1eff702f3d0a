// Hosts that fail on command: a front before each PDS, and one before the directory, whose documents name the fronts. WebSockets
// go through. Everything runs on a thread of its own, so that what is measured here does not wait for what a test does meanwhile.
//
//   const hosts = await FaultyHosts.start(pdsUrls, directoryUrl)   hosts.pds[i], hosts.directory: URLs to give to penstock
//   await hosts.set(i, behaviour)                                 how PDS i behaves from here on; {} is well
//   await hosts.remember(i)                                       keeps the archives as they are now, to be served as old copies
//   await hosts.report()                                          what was asked and what was done, since the start
//
// A behaviour: { down, limited: {share, after}, archives: {share, kinds} }
//   down      connections are refused, those that are open end
//   limited   this share of the requests is answered 429; after: the Retry-After to send, in seconds
//   archives  this share of getRepo goes wrong, each in the next way of `kinds`:
//             truncated (a whole answer, half an archive), cut (the connection ends half-way), corrupted (a byte of one record's
//             block is another), old (as remembered), failed (500)
import http from 'node:http'
import net from 'node:net'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import { rng } from './util.mjs'

export class FaultyHosts {
  static async start(pds, directory, seed = 1) {
    const hosts = new FaultyHosts()
    hosts.calls = new Map()
    hosts.worker = new Worker(new URL(import.meta.url), { workerData: { pds, directory, seed } })
    const failed = new Promise((_, fail) => hosts.worker.once('error', fail))
    failed.catch((e) => { for (const { fail } of hosts.calls.values()) fail(e) })
    const urls = new Promise((resolve) => hosts.worker.on('message', (m) => {
      if (m.ready) return resolve(m.ready)
      const call = hosts.calls.get(m.id)
      hosts.calls.delete(m.id)
      m.error ? call.fail(new Error(m.error)) : call.done(m.result)
    }))
    return Object.assign(hosts, await Promise.race([urls, failed]))
  }
  ask(what, ...args) {
    const id = this.calls.size + Math.random()
    return new Promise((done, fail) => { this.calls.set(id, { done, fail }); this.worker.postMessage({ id, what, args }) })
  }
  set(i, behaviour) { return this.ask('set', i, behaviour) }
  remember(i) { return this.ask('remember', i) }
  report() { return this.ask('report') }
  stop() { return this.worker.terminate() }
}

// Where a client that keeps to a token bucket would stand: the most requests by which `times` (milliseconds, ascending) are ahead
// of it in any window; 0 or less is within it. Requests that were late on their way arrive closer together than they were sent:
// `slackMs` allows for that.
export function aheadOf(times, { perSecond, burst, slackMs = 250 }) {
  let level = burst, most = -Infinity, last = times[0] ?? 0
  for (const t of times) {
    level = Math.min(burst, level + ((t - last) / 1000) * perSecond) - 1
    last = t
    most = Math.max(most, -level - (slackMs / 1000) * perSecond)
  }
  return most
}

// The places of the blocks' data in a CAR.
export function blocksOf(car) {
  const number = (at) => { let value = 0, shift = 1; for (;; shift *= 128) { const byte = car[at++]; value += (byte & 127) * shift; if (byte < 128) return [value, at] } }
  const blocks = []
  let [length, at] = number(0)
  for (at += length; at < car.length; at = blocks.at(-1).end) {
    let start
    ;[length, start] = number(at)
    blocks.push({ start: start + 36, end: start + length }) // a CID of version 1 with SHA-256 has 36 bytes
  }
  return blocks
}

class Front {
  constructor(target, pick) {
    Object.assign(this, { target: new URL(target), behaviour: {}, sockets: new Set(), requests: [], done: {}, old: new Map(), pick, turn: 0 })
    this.server = http.createServer((req, res) => this.answer(req, res).catch(() => res.destroy()))
    this.server.on('upgrade', (req, socket, head) => this.pass(req, socket, head))
    this.server.on('connection', (s) => { this.sockets.add(s); s.on('close', () => this.sockets.delete(s)) })
    this.server.keepAliveTimeout = 60000
  }
  listen(port = 0) {
    return new Promise((resolve, fail) => { this.server.once('error', fail); this.server.listen(port, '127.0.0.1', () => { this.port = this.server.address().port; resolve() }) })
  }
  get url() { return `http://localhost:${this.port}` }
  count(what) { this.done[what] = (this.done[what] ?? 0) + 1 }
  async set(behaviour) {
    const was = this.behaviour
    this.behaviour = behaviour
    if (behaviour.down && !was.down) {
      const closed = new Promise((resolve) => this.server.close(resolve))
      for (const s of this.sockets) s.destroy()
      await closed
    } else if (was.down && !behaviour.down) {
      await this.listen(this.port)
    }
  }
  async fetch(path, method = 'GET', headers = {}, body = undefined) {
    return new Promise((resolve, fail) => {
      const req = http.request({ host: '127.0.0.1', port: this.target.port, path, method, headers: { ...headers, host: this.target.host } }, (res) => {
        const chunks = []
        res.on('data', (d) => chunks.push(d)).on('error', fail)
        res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, body: Buffer.concat(chunks) }))
      })
      req.on('error', fail)
      req.end(body)
    })
  }
  async remember() {
    for (let cursor = ''; cursor !== undefined;) {
      const page = JSON.parse((await this.fetch(`/xrpc/com.atproto.sync.listRepos?limit=500${cursor && `&cursor=${encodeURIComponent(cursor)}`}`)).body)
      for (const { did, active } of page.repos) if (active) this.old.set(did, (await this.fetch(`/xrpc/com.atproto.sync.getRepo?did=${did}`)).body)
      cursor = page.cursor
    }
    return this.old.size
  }
  async answer(req, res) {
    const { pathname, searchParams } = new URL(req.url, 'http://x'), method = pathname.replace('/xrpc/', '')
    this.requests.push({ at: performance.timeOrigin + performance.now(), agent: req.headers['user-agent'] ?? '', method })
    const { limited, archives } = this.behaviour
    if (limited && this.pick.chance(limited.share)) {
      this.count(limited.after ? 'limited, with Retry-After' : 'limited')
      res.writeHead(429, { 'content-type': 'application/json', ...(limited.after && { 'retry-after': String(limited.after) }) })
      return res.end('{"error":"RateLimitExceeded","message":"Rate Limit Exceeded"}')
    }
    const chunks = []
    for await (const c of req) chunks.push(c)
    const { 'accept-encoding': _, ...headers } = req.headers // the bytes as they are
    const got = await this.fetch(req.url, req.method, headers, chunks.length ? Buffer.concat(chunks) : undefined)
    let { status, body } = got
    const type = got.headers['content-type'] ?? 'application/octet-stream'
    if (method === 'com.atproto.sync.getRepo' && status === 200 && archives && this.pick.chance(archives.share)) {
      const how = archives.kinds[this.turn++ % archives.kinds.length], old = this.old.get(searchParams.get('did'))
      if (how === 'old' && (!old || old.equals(body))) { /* there is no other */ }
      else {
        this.count(how)
        if (how === 'failed') { res.writeHead(500); return res.end() }
        if (how === 'cut') { res.writeHead(200, { 'content-type': type, 'content-length': body.length }); return res.write(body.subarray(0, body.length / 2), () => res.destroy()) }
        const blocks = blocksOf(body), one = blocks[this.pick.int(blocks.length)]
        if (how === 'truncated') body = body.subarray(0, one.end - 1)
        if (how === 'corrupted') { body = Buffer.from(body); body[one.end - 1] ^= 1 }
        if (how === 'old') body = old
      }
    }
    if (this.rewrite && type.includes('json')) body = Buffer.from(this.rewrite(body.toString()))
    res.writeHead(status, { 'content-type': type, 'content-length': body.length })
    res.end(body)
  }
  pass(req, socket, head) {
    const up = net.connect(this.target.port, '127.0.0.1', () => {
      const lines = [`${req.method} ${req.url} HTTP/1.1`]
      for (let i = 0; i < req.rawHeaders.length; i += 2) lines.push(`${req.rawHeaders[i]}: ${req.rawHeaders[i + 1]}`)
      up.write(lines.join('\r\n') + '\r\n\r\n')
      up.write(head)
      socket.pipe(up).pipe(socket)
    })
    for (const [a, b] of [[up, socket], [socket, up]]) a.on('error', () => b.destroy()).on('close', () => b.destroy())
  }
}

async function serve({ pds, directory, seed }) {
  const fronts = pds.map((url, i) => new Front(url, rng(seed * 17 + i)))
  for (const front of fronts) await front.listen()
  const documents = new Front(directory, rng(seed * 17 + 99))
  // Only what is read of a document: its PDS is the front of the one that it names.
  documents.rewrite = (text) => fronts.reduce((t, f, i) => t.replaceAll(JSON.stringify(pds[i]), JSON.stringify(f.url)), text)
  await documents.listen()
  const acts = {
    set: (i, behaviour) => fronts[i].set(behaviour),
    remember: (i) => fronts[i].remember(),
    report: () => [...fronts, documents].map((f) => ({ url: f.url, requests: f.requests, done: f.done })),
  }
  parentPort.on('message', async ({ id, what, args }) => {
    try { parentPort.postMessage({ id, result: await acts[what](...args) }) } catch (e) { parentPort.postMessage({ id, error: String(e.message) }) }
  })
  parentPort.postMessage({ ready: { pds: fronts.map((f) => f.url), directory: documents.url.replace('localhost', '127.0.0.1') } })
}

if (!isMainThread && workerData?.pds) await serve(workerData)
