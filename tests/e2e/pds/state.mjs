// Final state of one PDS, over its public XRPC.
export async function finalState(api, label) {
  const heads = [], records = []
  let cursor
  do {
    const page = await api.get('com.atproto.sync.listRepos', { limit: '500', ...(cursor ? { cursor } : {}) })
    for (const r of page.repos) {
      const head = { pds: label, did: r.did, active: r.active, status: r.status ?? null, rev: r.rev, head: r.head, records: null }
      heads.push(head)
      if (!r.active) continue
      // The listing does not hear of a new key's commit.
      const latest = await api.get('com.atproto.sync.getLatestCommit', { did: r.did }); head.rev = latest.rev; head.head = latest.cid
      const d = await api.get('com.atproto.repo.describeRepo', { repo: r.did }); head.handle = d.handle; head.collections = d.collections; head.records = 0
      for (const collection of d.collections) {
        let cur
        do {
          const p = await api.get('com.atproto.repo.listRecords', { repo: r.did, collection, limit: '100', ...(cur ? { cursor: cur } : {}) })
          for (const x of p.records) { records.push({ pds: label, did: r.did, collection, rkey: x.uri.slice(`at://${r.did}/${collection}/`.length), cid: x.cid, value: x.value }); head.records++ }
          cur = p.cursor
        } while (cur)
      }
    }
    cursor = page.cursor
  } while (cursor)
  return { heads, records }
}
