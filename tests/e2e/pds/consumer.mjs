// One `penstock run` over one store, killed and started at will.
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { sleep, tail } from './util.mjs'

// Nothing of the caller's own configuration reaches it.
const environment = () => Object.fromEntries(Object.entries(process.env).filter(([k]) => !k.startsWith('PENSTOCK_')))

export class Consumer {
  // `args`: of `run`, but for the store; a function of how often it was started, if they depend on that.
  constructor(program, dir, store, args) {
    Object.assign(this, { program, dir, store, args, log: path.join(dir, `penstock-${store.name}.log`), starts: 0, ended: null })
  }
  start() {
    const more = typeof this.args === 'function' ? this.args(++this.starts) : this.args
    const args = ['run', '--store', this.store.url, ...more]
    const child = spawn(this.program, args, { stdio: ['ignore', fs.openSync(this.log, 'a'), fs.openSync(this.log, 'a')], env: environment(), cwd: this.dir })
    const mine = { child, expected: null }
    child.once('error', (e) => { this.ended = `${this.program}: ${e.message}` })
    mine.gone = new Promise((resolve) => child.once('exit', (code, signal) => {
      // Nothing but our own signals may end it.
      if (mine.expected === null) this.ended = `penstock (${this.store.name}) ended by itself: ${signal ?? `exit ${code}`}\n${tail(this.log)}`
      else if (mine.expected === 'SIGTERM' && code !== 0) this.ended = `penstock (${this.store.name}) answered SIGTERM with ${signal ?? `exit ${code}`}\n${tail(this.log)}`
      resolve()
    }))
    this.running = mine
  }
  async stop(signal) {
    this.running.expected = signal
    this.running.child.kill(signal)
    await Promise.race([this.running.gone, sleep(30000)])
    if (this.running.child.exitCode === null && this.running.child.signalCode === null) {
      this.running.child.kill('SIGKILL')
      throw new Error(`penstock (${this.store.name}) did not end within 30 s of ${signal}\n${tail(this.log)}`)
    }
  }
  async restart(signal, pauseMs) { await this.stop(signal); await sleep(pauseMs); this.start() }
  // Whatever state it is in.
  abandon() { if (this.running) { this.running.expected = 'SIGKILL'; this.running.child.kill('SIGKILL') } }
  check() { if (this.ended) throw new Error(this.ended) }
  // Another verb on the same store, to its end: what it prints.
  async verb(name, ...args) {
    const child = spawn(this.program, [...name.split(' '), ...args, '--store', this.store.url], { stdio: ['ignore', 'pipe', 'pipe'], env: environment(), cwd: this.dir })
    let out = '', err = ''
    child.stdout.on('data', (d) => { out += d })
    child.stderr.on('data', (d) => { err += d })
    const end = await new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? `exit ${code}`)))
    if (end !== 'exit 0') throw new Error(`penstock ${name} (${this.store.name}): ${end}\n${out}${err}`)
    return out
  }
  // Rows, or none while there is no table yet, or the server is restarting.
  rows(sql) { try { return this.store.query(sql) } catch { return [] } }
  positions() { return this.rows('SELECT source, position FROM stream_cursor') }
}

// Until every durable cursor has reached its host's last seq.
export async function settle(consumers, seqs, seconds) {
  const until = Date.now() + seconds * 1000
  const reached = (c) => {
    const at = c.positions().map((p) => Number(p.position)).sort((a, b) => a - b), want = [...seqs].sort((a, b) => a - b)
    return at.length === want.length && at.every((p, i) => p >= want[i])
  }
  for (const c of consumers) {
    while (!reached(c)) {
      c.check()
      if (Date.now() > until) throw new Error(`${c.store.name}: the durable cursor stands at ${JSON.stringify(c.positions())}, the PDS at ${seqs}\n${tail(c.log)}`)
      await sleep(200)
    }
  }
}
