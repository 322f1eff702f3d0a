// Compares verdicts with @atproto/lexicon: every record of the captures, and mutated ones, strict.
//
//   node compare.mjs MODULES LEXICON_VERDICTS LEXICONS RECORDS [--seed N] [--mutations N] [--all]
//
// MODULES is a node_modules folder that holds @atproto/lexicon. Every difference must be one of the kinds listed in
// docs/lexicons.md ("Where the verdict still differs"); one that is not fails the comparison and is printed.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [modules, verdicts, lexiconFolder, recordsFile, ...rest] = process.argv.slice(2)
const option = (name, fallback) => (rest.includes(name) ? Number(rest[rest.indexOf(name) + 1]) : fallback)
const seed = option('--seed', 5)
const wanted = option('--mutations', 2000)
const { Lexicons, jsonToLex, lexiconDoc } = await import(pathToFileURL(path.join(modules, '@atproto/lexicon/dist/index.js')))

const random = (() => { // mulberry32
  let a = seed >>> 0
  const next = () => { a = (a + 0x6d2b79f5) | 0; let t = Math.imul(a ^ (a >>> 15), 1 | a); t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t; return ((t ^ (t >>> 14)) >>> 0) / 4294967296 }
  const below = (n) => Math.floor(next() * n)
  return { below, pick: (list) => list[below(list.length)], chance: (p) => next() < p }
})()

// ---- lexicons ----

const documents = []
const load = (folder) => {
  for (const entry of fs.readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name.startsWith('_') || entry.name.startsWith('.')) continue
    const file = path.join(folder, entry.name)
    if (entry.isDirectory()) load(file)
    else if (entry.name.endsWith('.json')) documents.push(JSON.parse(fs.readFileSync(file, 'utf8')))
  }
}
load(lexiconFolder)
const lexicons = new Lexicons()
for (const document of documents) { lexiconDoc.parse(document); lexicons.add(structuredClone(document)) }

const theirs = ({ collection, value }) => {
  let data
  try {
    data = jsonToLex(structuredClone(value))
  } catch (error) {
    return { ok: false, why: 'unread: ' + String(error.message).split('\n')[0] }
  }
  try {
    lexicons.assertValidRecord(collection, data)
    return { ok: true, why: '' }
  } catch (error) {
    return { ok: false, why: String(error.message).split('\n')[0] }
  }
}

// ---- records ----

const known = new Set(documents.filter((d) => d.defs.main?.type === 'record').map((d) => d.id))
const records = fs.readFileSync(recordsFile, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line))
  .filter((r) => known.has(r.collection)).map(({ collection, value }) => ({ collection, value }))

const cid = 'bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq'
const rawCid = 'bafkreiany2x56aud2awigtfj3wrndyizz3gxyee7pvwuqsi4crhxxlzgfa'
const pool = [
  null, true, false, 0, 1, -1, 42, 1000000, 2 ** 53 - 1, '', 'x', 'fish', 'a'.repeat(301), 'ab '.repeat(1500), '👩‍👩‍👦‍👦'.repeat(290), 'क्षत्रिय '.repeat(60),
  [], [1], [null], ['x', 'y'], [[]], {}, { a: 1 }, { $type: 'com.example.other', a: 1 }, { $type: 'app.bsky.embed.images', images: [] },
  { $type: 'app.bsky.embed.external#main', external: { uri: 'https://example.com', title: 't', description: 'd' } }, { $type: 'app.bsky.richtext.facet#tag', tag: 'x' },
  { $type: 'com.atproto.label.defs#selfLabels', values: [{ val: 'x' }] },
  { $link: cid }, { $link: rawCid }, { $bytes: 'YWJj' }, { cid, mimeType: 'image/png' },
  { $type: 'blob', ref: { $link: rawCid }, mimeType: 'image/png', size: 10 }, { $type: 'blob', ref: { $link: rawCid }, mimeType: 'text/html', size: 99999999 },
  { uri: 'at://did:plc:jlxpiytvot3tq2tmaoj4tds7/app.bsky.feed.post/3kznmn7xqxl22', cid }, { did: 'did:plc:jlxpiytvot3tq2tmaoj4tds7' },
  'did:plc:jlxpiytvot3tq2tmaoj4tds7', 'did:web:example.com', 'did:plc:', 'alice.example.com', 'alice', 'at://alice.example.com/app.bsky.feed.post/self',
  'at://did:plc:x/app.bsky.feed.post/a#/b', 'at://did:plc:x/', 'at://did:plc:x/a/b', 'com.example.thing', cid, rawCid, cid.slice(0, -1), cid + 'a', 'bafyqqqq',
  'zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA', 'QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n', '2024-01-01T00:00:00Z', '2024-01-01T00:00:00', '2024-01-01T00:00',
  '2024-02-30T00:00:00Z', '2024-01-01', '2024-01-01T00:00:00.123456789012Z', '2024-01-01T24:00:00Z', '2016-12-31T23:59:60Z', '0000-01-01T00:00:00+01:00',
  'en', 'EN', 'de-CH-1996', 'english', 'en_GB', '123', 'x-private', 'https://example.com/ä', 'HTTPS://example.com', 'example.com', 'mailto:a@b.c', 'https://a b', 'at:x',
  'community.lexicon.calendar.rsvp#going', 'space.atbb.modAction.ban', 'light', '3kznmn7xqxl22',
]

// Every place in a value: [holder, key].
const places = (value, out = []) => {
  if (value === null || typeof value !== 'object') return out
  for (const key of Object.keys(value)) { out.push([value, key]); places(value[key], out) }
  return out
}
const textMutations = [(t) => t.slice(0, -1), (t) => t + t, (t) => t + 'a', (t) => ' ' + t, (t) => t.toUpperCase(), (t) => t.replace(/[0-9]/, 'x'),
  (t) => t.replace(/[:/.]/, ''), (t) => t.slice(1), (t) => t + '\n', (t) => t + '#', (t) => t.replace('Z', ''), (t) => t.repeat(40)]

const mutate = () => {
  const record = structuredClone(random.pick(random.chance(0.4) ? rare : records))
  for (let steps = 1 + random.below(2); steps > 0; --steps) {
    const all = places(record.value).filter(([holder, key]) => !(holder === record.value && key === '$type'))
    if (all.length === 0) break
    const [holder, key] = random.pick(all)
    const what = random.below(10)
    if (what < 2) {
      if (Array.isArray(holder)) holder.splice(Number(key), 1)
      else delete holder[key]
    } else if (what < 5) {
      holder[key] = structuredClone(random.pick(pool))
    } else if (what < 7 && typeof holder[key] === 'string') {
      holder[key] = random.pick(textMutations)(holder[key])
    } else if (what < 8 && typeof holder[key] === 'number') {
      holder[key] = random.pick([0, -1, 1, holder[key] + 1, -holder[key], 1e12])
    } else if (what < 9 && Array.isArray(holder[key])) {
      const list = holder[key]
      for (let n = random.below(12); n > 0; --n) list.push(structuredClone(list.length ? random.pick(list) : random.pick(pool)))
    } else {
      // A field of the schema that this record does not have, or a value moved elsewhere.
      const names = Object.keys(lexicons.getDef(record.collection).record.properties)
      const [from, name] = random.pick(all)
      record.value[random.pick(names)] = structuredClone(random.chance(0.5) ? random.pick(pool) : from[name])
    }
  }
  return record
}
const perCollection = new Map()
for (const record of records) perCollection.set(record.collection, [...(perCollection.get(record.collection) ?? []), record])
// Collections that the captures hardly have, by hand.
const strong = { uri: 'at://did:plc:jlxpiytvot3tq2tmaoj4tds7/community.lexicon.calendar.event/3kznmn7xqxl22', cid }
const rare = [
  { collection: 'community.lexicon.calendar.rsvp', value: { $type: 'community.lexicon.calendar.rsvp', subject: strong, status: 'community.lexicon.calendar.rsvp#going', createdAt: '2024-01-01T00:00:00Z' } },
  { collection: 'community.lexicon.calendar.event', value: { $type: 'community.lexicon.calendar.event', name: 'n', createdAt: '2024-01-01T00:00:00Z', mode: 'community.lexicon.calendar.event#virtual', locations: [{ $type: 'community.lexicon.location.geo', latitude: '1', longitude: '2' }, { $type: 'community.lexicon.location.address', country: 'DE' }, { $type: 'community.lexicon.calendar.event#uri', uri: 'https://example.com' }], uris: [{ uri: 'https://example.com', name: 'n' }], rsvpExpected: true } },
  { collection: 'app.bsky.feed.post', value: { $type: 'app.bsky.feed.post', text: 'x', createdAt: '2024-01-01T00:00:00Z', langs: ['en', 'pt-BR'], tags: ['a', 'b'], labels: { $type: 'com.atproto.label.defs#selfLabels', values: [{ val: 'porn' }] }, facets: [{ index: { byteStart: 0, byteEnd: 1 }, features: [{ $type: 'app.bsky.richtext.facet#link', uri: 'https://example.com' }, { $type: 'app.bsky.richtext.facet#mention', did: 'did:plc:x' }] }], embed: { $type: 'app.bsky.embed.images', images: [{ alt: '', image: { $type: 'blob', ref: { $link: rawCid }, mimeType: 'image/png', size: 10 }, aspectRatio: { width: 1, height: 2 } }] } } },
  { collection: 'space.atbb.forum.theme', value: { $type: 'space.atbb.forum.theme', name: 'n', colorScheme: 'light', tokens: { a: 'b' }, fontUrls: ['https://example.com/a'], createdAt: '2024-01-01T00:00:00Z' } },
  { collection: 'space.atbb.forum.themePolicy', value: { $type: 'space.atbb.forum.themePolicy', availableThemes: [{ theme: strong }], defaultLightTheme: { theme: strong }, defaultDarkTheme: { theme: strong }, allowUserChoice: true } },
  { collection: 'com.huddle.bookingRequest', value: { $type: 'com.huddle.bookingRequest', hostDid: 'did:plc:x', status: 'pending', constraints: { durationMin: 1, earliest: '2024-01-01T00:00:00Z', days: ['mon'], tz: 'UTC' }, offerUri: strong.uri } },
  { collection: 'com.huddle.booking', value: { $type: 'com.huddle.booking', hostDid: 'did:plc:x', guestDid: 'did:web:a.b', status: 'confirmed', timeMasked: true } },
  { collection: 'com.huddle.slotOffer', value: { $type: 'com.huddle.slotOffer', start: '2024-01-01T00:00:00Z', end: '2024-01-01T01:00:00Z', policy: 'anyone', note: 'n' } },
  { collection: 'space.atbb.forum.role', value: { $type: 'space.atbb.forum.role', name: 'n', permissions: ['a'], priority: 3 } },
].filter((r) => known.has(r.collection))
// Whatever JSON could not carry to the other side (a float, a lone surrogate) is no case.
const mutated = []
while (mutated.length < wanted) {
  const record = mutate()
  if (record.value && record.value.$type === record.collection && !/\\ud[89a-f]/i.test(JSON.stringify(record))) mutated.push(record)
}
const all = [...records, ...rare, ...mutated]

// ---- ours, and the comparison ----

const ours = execFileSync(verdicts, [lexiconFolder], { input: all.map((r) => JSON.stringify(r)).join('\n') + '\n', maxBuffer: 1 << 28 })
  .toString().trimEnd().split('\n').map((line) => { const [word, reject = '', ...p] = line.split(' '); return { ok: word === 'accept' || word === 'warn', word, reject, path: p.join(' ') } })
if (ours.length !== all.length) throw new Error(`${all.length} records, ${ours.length} verdicts`)

const at = (value, p) => p.split(/[.[\]]+/).filter(Boolean).reduce((v, key) => v?.[key], value)
// The kinds of docs/lexicons.md, by what either side said.
const justified = (record, us, them) => {
  const value = at(record.value, us.path ?? '')
  if (us.word === 'data') return 'no valid data'
  if (us.ok && them.why.startsWith('unread: ')) return 'a map that only looks like an old blob'
  if (!us.ok && us.reject === 'lexicon_blob') return 'blob type or size'
  if (!us.ok && us.reject === 'lexicon_type' && value !== null && typeof value === 'object') return 'a list, bytes, link or blob where a map is wanted'
  if (us.ok && / must be a uri$/.test(them.why)) return 'uri of the specification'
  if (us.ok && / should be a blob ref$/.test(them.why)) return 'blob with more keys'
  if (!us.ok && us.reject === 'lexicon_format' && typeof value === 'string' && /T/.test(value)) return 'unreadable datetime'
  return null
}

const count = new Map()
const add = (kind) => count.set(kind, (count.get(kind) ?? 0) + 1)
let accepted = 0, refused = 0, warned = 0, failed = 0
all.forEach((record, i) => {
  const them = theirs(record), us = ours[i]
  if (us.ok) ++accepted; else ++refused
  if (us.word === 'warn') ++warned
  if (them.ok === us.ok) return
  const kind = justified(record, us, them)
  const text = `${us.word} ${us.reject} ${us.path} / ${them.ok ? 'accept' : 'refuse: ' + them.why}`
  if (kind === null) { ++failed; console.log(`DIFFERS ${text}\n  ${JSON.stringify(record).slice(0, 600)}`) }
  else { add(kind); if (rest.includes('--all')) console.log(`${kind}: ${text}  ${JSON.stringify(at(record.value, us.path))?.slice(0, 100)}`) }
})
console.log(`${records.length} captured, ${rare.length} by hand, ${mutated.length} mutated (seed ${seed}): ${accepted} accepted (${warned} with warnings), ${refused} refused`)
for (const [kind, n] of count) console.log(`  ${n} differ on purpose: ${kind}`)
console.log(failed === 0 ? 'verdicts equal' : `${failed} verdicts differ`)
process.exit(failed === 0 ? 0 : 1)
