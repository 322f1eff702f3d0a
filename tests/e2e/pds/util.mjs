// A pause, a random generator with a seed, the end of a log, and CIDs.
import { createHash } from 'node:crypto'
import fs from 'node:fs'

export const sleep = (ms) => new Promise((r) => setTimeout(r, ms))
export const rng = (seed) => { // mulberry32
  let a = seed >>> 0
  const f = () => { a = (a + 0x6d2b79f5) | 0; let t = Math.imul(a ^ (a >>> 15), 1 | a); t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t; return ((t ^ (t >>> 14)) >>> 0) / 4294967296 }
  f.int = (n) => Math.floor(f() * n)
  f.pick = (arr) => arr[f.int(arr.length)]
  f.chance = (p) => f() < p
  return f
}

export const tail = (file, n = 25) => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trimEnd().split('\n').slice(-n).join('\n') : '(no log)')

// The CID of a DAG-CBOR block: version 1, codec 0x71, SHA-256, in base32.
export const cidOf = (bytes) => {
  const all = Buffer.concat([Buffer.from([0x01, 0x71, 0x12, 0x20]), createHash('sha256').update(bytes).digest()])
  let text = 'b', bits = 0, held = 0
  for (const byte of all) {
    held = (held << 8) | byte; bits += 8
    while (bits >= 5) { bits -= 5; text += 'abcdefghijklmnopqrstuvwxyz234567'[(held >> bits) & 31]; held &= (1 << bits) - 1 }
  }
  return bits ? text + 'abcdefghijklmnopqrstuvwxyz234567'[(held << (5 - bits)) & 31] : text
}
