// What a store shows, against what the PDS serve.
import { isDeepStrictEqual } from 'node:util'
import { cidOf } from './util.mjs'

// Lines of what differs. `apart`: accounts that are not looked at; `wanted`: which collections the filter lets through.
export function recordDifferences(store, truth, { apart = new Set(), wanted = () => true } = {}) {
  const wrong = [], key = (r) => `${r.did}/${r.collection}/${r.rkey}`
  const active = new Set(truth.heads.filter((h) => h.active).map((h) => h.did))
  const want = new Map(truth.records.filter((r) => wanted(r.collection)).map((r) => [key(r), r]))
  const got = new Map(store.visible().map((r) => [key(r), r]))
  // Two differences that are known. JSON in a database cannot hold U+0000 (docs/adr/0010). And the PDS reads texts through a
  // decoder that drops a byte order mark at their start, so its listRecords says less than the block that it serves.
  const expected = (value) => JSON.parse(JSON.stringify(value).replaceAll('\\u0000', '\ufffd'))
  const withoutMark = (value) => JSON.parse(JSON.stringify(value).replaceAll('"\ufeff', '"'))
  for (const [k, r] of want) {
    if (apart.has(r.did)) continue
    const row = got.get(k)
    if (!row) wrong.push(`missing ${k}`)
    else if (row.cid !== r.cid) wrong.push(`${k} has cid ${row.cid}, the PDS ${r.cid}`)
    else if (cidOf(Buffer.from(row.cbor, 'hex')) !== r.cid) wrong.push(`${k}: the stored bytes do not hash to its cid`)
    else if (!isDeepStrictEqual(withoutMark(row.value), expected(r.value))) wrong.push(`${k} has value ${JSON.stringify(row.value).slice(0, 200)}, the PDS ${JSON.stringify(r.value).slice(0, 200)}`)
  }
  for (const [k, r] of got) if (!want.has(k) && !apart.has(r.did)) wrong.push(`${active.has(r.did) ? 'left over' : 'not hidden'}: ${k}`)
  return { wrong, records: want.size, repos: active.size, hidden: truth.heads.length - active.size }
}

// A moved account is listed by both PDS; where it is active is where it lives.
export const movedAccounts = (truth) =>
  new Set([...Map.groupBy(truth.heads, (h) => h.did)].filter(([, heads]) => heads.length > 1).map(([did]) => did))
