// The PDS and their directory, in a process of their own behind the control server of serve.mjs.
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { sleep, tail } from './util.mjs'

export class Network {
  // `args`: further arguments of serve.mjs. `dir`: for its log and its scratch data.
  constructor(dir, args) { Object.assign(this, { dir, args, log: path.join(dir, 'pds.log') }) }
  async start() {
    const args = ['serve.mjs', '--plc-port', '0', '--pds-ports', '0,0', '--control-port', '0', '--multikey', ...this.args.map(String)]
    this.child = spawn(process.execPath, args, { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', fs.openSync(this.log, 'w')], env: { ...process.env, TMPDIR: this.dir } })
    const gone = new Promise((_, fail) => this.child.once('exit', (code) => fail(new Error(`the PDS process ended (${code})\n${tail(this.log)}`))))
    gone.catch(() => {})
    const ready = new Promise((resolve) => {
      let text = ''
      this.child.stdout.on('data', (d) => {
        text += d
        for (let at; (at = text.indexOf('\n')) >= 0; text = text.slice(at + 1)) {
          const line = text.slice(0, at)
          if (line.startsWith('{"ready":true')) resolve(JSON.parse(line))
        }
      })
    })
    Object.assign(this, await Promise.race([ready, gone]))
    this.directory = this.plc.replace('localhost', '127.0.0.1')
  }
  async call(what, method = 'POST') {
    const res = await fetch(this.control.replace('localhost', '127.0.0.1') + what, { method })
    const text = await res.text()
    if (!res.ok) throw new Error(`${what}: ${res.status} ${text}`)
    return text
  }
  async truth() {
    const rows = (await this.call('/truth', 'GET')).trim().split('\n').map((l) => JSON.parse(l))
    return { heads: rows.filter((r) => r.kind === 'head'), records: rows.filter((r) => r.kind === 'record') }
  }
  async seqs() { return JSON.parse(await this.call('/seq', 'GET')) }
  async accounts() { return JSON.parse(await this.call('/accounts', 'GET')) }
  async step(what, i, more = '') { return JSON.parse(await this.call(`/step?what=${what}&i=${i}${more}`)) }
  async stop() {
    if (!this.child || this.child.exitCode !== null) return
    this.child.kill('SIGTERM')
    await Promise.race([new Promise((r) => this.child.once('exit', r)), sleep(5000)])
    this.child.kill('SIGKILL')
  }
}
