// A pause, and a random generator with a seed.
export const sleep = (ms) => new Promise((r) => setTimeout(r, ms))
export const rng = (seed) => { // mulberry32
  let a = seed >>> 0
  const f = () => { a = (a + 0x6d2b79f5) | 0; let t = Math.imul(a ^ (a >>> 15), 1 | a); t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t; return ((t ^ (t >>> 14)) >>> 0) / 4294967296 }
  f.int = (n) => Math.floor(f() * n)
  f.pick = (arr) => arr[f.int(arr.length)]
  f.chance = (p) => f() < p
  return f
}
