// The two stores as the test sees them: a URL for penstock, and rows read back with each database's own tools.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import Database from 'better-sqlite3'

const VISIBLE = 'did, collection, rkey, cid, value'

export class SqliteStore {
  constructor(dir, name = 'sqlite') {
    this.name = name
    this.file = path.join(dir, `${name}.db`)
    this.url = `sqlite:${this.file}`
  }
  query(sql) {
    if (!fs.existsSync(this.file)) return []
    const db = new Database(this.file, { readonly: true, timeout: 10000 })
    try { return db.prepare(sql).all() } finally { db.close() }
  }
  visible() { return this.query(`SELECT ${VISIBLE}, hex(cbor) AS cbor FROM visible_record`).map((r) => ({ ...r, value: JSON.parse(r.value) })) }
  stop() {}
}

// A cluster of its own on a Unix socket. PostgreSQL refuses to run as root, so root hands it to the `postgres` user.
export class PostgresStore {
  name = 'postgres'
  database = 'postgres'
  static find() {
    const root = '/usr/lib/postgresql'
    const versions = fs.existsSync(root) ? fs.readdirSync(root).sort((a, b) => b - a) : []
    return versions.map((v) => path.join(root, v, 'bin')).find((bin) => fs.existsSync(path.join(bin, 'initdb')))
  }
  constructor(dir, bin) {
    this.dir = path.join(dir, 'pg')
    this.bin = bin
    fs.mkdirSync(this.dir)
    fs.chmodSync(dir, 0o755)
    if (process.getuid() === 0) execFileSync('chown', ['postgres', this.dir])
    this.run('initdb', '-D', `${this.dir}/data`, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync')
    this.ctl('start')
    this.url = this.urlOf(this.database)
  }
  urlOf(database) { return `postgresql:///${database}?host=${encodeURIComponent(this.dir)}&user=postgres` }
  // A further database of the cluster, as a store of its own. The cluster stops with the first.
  another(database) {
    this.run('createdb', '-h', this.dir, '-U', 'postgres', database)
    return Object.assign(Object.create(this), { name: `postgres-${database}`, database, url: this.urlOf(database), stop() {} })
  }
  run(tool, ...args) {
    const command = [path.join(this.bin, tool), ...args]
    if (process.getuid() === 0) command.unshift('runuser', '-u', 'postgres', '--')
    return execFileSync(command[0], command.slice(1), { encoding: 'utf8', cwd: this.dir, maxBuffer: 1 << 30, stdio: ['ignore', 'pipe', 'pipe'] })
  }
  ctl(what, ...args) {
    // Durable on purpose: a restart in immediate mode is a crash, and what was committed must still be there.
    this.run('pg_ctl', what, '-w', '-D', `${this.dir}/data`, '-l', `${this.dir}/log`, '-o', `-c listen_addresses= -k ${this.dir}`, ...args)
  }
  restart(mode) { this.ctl('restart', '-m', mode) }
  query(sql) {
    const rows = `SELECT row_to_json(t) FROM (${sql}) t`
    const out = this.run('psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-h', this.dir, '-U', 'postgres', '-d', this.database, '-c', rows)
    return out.split('\n').filter(Boolean).map((line) => JSON.parse(line))
  }
  visible() { return this.query(`SELECT ${VISIBLE}, encode(cbor, 'hex') AS cbor FROM visible_record`) }
  stop() { try { this.ctl('stop', '-m', 'immediate') } catch { /* already down */ } }
}
