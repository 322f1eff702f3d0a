// Seeded traffic against a running net (see net.mjs). All writes go over HTTP
// XRPC; only e-mail tokens and key rotation reach into the PDS's own context.
import fs from 'node:fs/promises'
import { Secp256k1Keypair } from '@atproto/crypto'
import { ADMIN_PASSWORD } from '@atproto/dev-env'
import { scripts } from '@atproto/pds'
import { Xrpc } from './net.mjs'
import { rng, sleep } from './util.mjs'

const ADMIN = 'Basic ' + Buffer.from('admin:' + ADMIN_PASSWORD).toString('base64')
const WORDS = ['firehose', 'Grüße', 'こんにちは', '世界', 'مرحبا', 'שלום', 'привет', '🦋', '👩‍👩‍👧‍👦', '🏳️‍🌈', 'e\u0301clair', 'naïve', 'ﬁ', '𝕌𝕟𝕚', 'ไทย', 'नमस्ते', 'test', 'relay', 'cursor', '"quoted"', 'back\\slash', '<b>html</b>', 'tab\there', 'line\nbreak', '\u200bzwsp', '\ufeffbom', '\u2028ls', '🇪🇺', 'Zalgo̷͓', 'a', 'the', 'and', '\u007f', '\u0001ctl']
const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64')
const S32 = '234567abcdefghijklmnopqrstuvwxyz'

export class Traffic {
  constructor(net, { seed = 1, accounts = 60, prefix = 'user', log = () => {}, halves = false } = {}) {
    Object.assign(this, { net, seed, n: accounts, prefix, log, halves })
    this.r = rng(seed)
    this.api = net.pds.map((p) => new Xrpc(p.url))
    this.acc = []; this.stats = {}; this.errors = {}; this.clock = 0; this.identity = []
  }
  count(k, n = 1) { this.stats[k] = (this.stats[k] ?? 0) + n }
  async snapDoc(did) { // the document as the directory served it right after an identity change
    const doc = await (await fetch(`${this.net.plcUrl}/${did}`)).json()
    this.identity.push({ did, at: new Date().toISOString(), doc })
  }
  tid() { // unique per account stream, sortable
    let v = BigInt(Date.now()) * 1000n + BigInt(this.clock++ % 1000); v = (v << 10n) | 23n
    let s = ''; for (let i = 0; i < 13; i++) { s = S32[Number(v & 31n)] + s; v >>= 5n } return s
  }
  text(r, n) { let s = ''; for (let i = 0; i < n; i++) s += (i ? ' ' : '') + r.pick(WORDS); return s }
  now() { return new Date().toISOString() }

  async createAccount(i, p = 0, name = `${this.prefix}${i}`) {
    const dom = this.net.pds[p].ctx.cfg.identity.serviceHandleDomains[0]
    const handle = name + dom
    const s = await this.api[p].post('com.atproto.server.createAccount', { handle, email: `${name}.${this.seed}@test.com`, password: `pw-${name}` })
    const a = { i, p, name, did: s.did, handle: s.handle, jwt: 'Bearer ' + s.accessJwt, recs: new Map(), r: rng(this.seed * 7919 + i), blobs: [], state: 'active' }
    this.acc[i] = a; this.count('createAccount')
    await this.snapDoc(a.did)
    return a
  }
  // --- record bodies -------------------------------------------------------
  ref(a) { // strong ref to an existing record of some account, if any
    for (let k = 0; k < 4; k++) {
      const o = a.r.pick(this.acc.filter(Boolean)); if (!o?.recs.size) continue
      const keys = [...o.recs.keys()]; const key = keys[a.r.int(keys.length)]
      return { uri: `at://${o.did}/${key}`, cid: o.recs.get(key).cid }
    }
    return { uri: `at://${a.did}/app.bsky.feed.post/3aaaaaaaaaaaa`, cid: 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a' }
  }
  someDid(a) { return a.r.pick(this.acc.filter(Boolean)).did }
  record(a, coll) {
    const r = a.r, createdAt = this.now(), t = (n) => this.text(r, n)
    switch (coll) {
      case 'app.bsky.feed.post': {
        const x = { $type: coll, text: t(1 + r.int(12)).slice(0, 250), createdAt, langs: r.pick([['en'], ['de', 'en'], ['ja'], []]) }
        if (r.chance(0.3)) { const root = this.ref(a); x.reply = { root, parent: r.chance(0.5) ? root : this.ref(a) } }
        if (r.chance(0.15)) { x.text = '#firehose ' + x.text; x.facets = [{ index: { byteStart: 0, byteEnd: 9 }, features: [{ $type: 'app.bsky.richtext.facet#tag', tag: 'firehose' }] }] }
        if (a.blobs.length && r.chance(0.4)) x.embed = { $type: 'app.bsky.embed.images', images: [{ alt: t(2), image: r.pick(a.blobs), aspectRatio: { width: 1, height: 1 } }] }
        return x
      }
      case 'app.bsky.feed.like': case 'app.bsky.feed.repost': return { $type: coll, subject: this.ref(a), createdAt }
      case 'app.bsky.graph.follow': case 'app.bsky.graph.block': return { $type: coll, subject: this.someDid(a), createdAt }
      case 'app.bsky.actor.profile': return { $type: coll, displayName: t(2).slice(0, 60), description: t(6), ...(a.blobs.length ? { avatar: a.blobs[0] } : {}) }
      case 'space.atbb.post': {
        const x = { $type: coll, text: t(3 + r.int(20)), createdAt, forum: { forum: this.ref(a) } }
        if (r.chance(0.5)) x.board = { board: this.ref(a) }
        if (r.chance(0.5)) x.reply = { root: this.ref(a), parent: this.ref(a) }
        return x
      }
      case 'space.atbb.forum.forum': return { $type: coll, name: t(3), description: t(8), createdAt }
      case 'space.atbb.forum.board': return { $type: coll, name: t(2), slug: 'b-' + r.int(999), sortOrder: r.int(100) - 50, category: { category: this.ref(a) }, createdAt }
      case 'space.atbb.membership': return { $type: coll, forum: { forum: this.ref(a) }, role: { role: this.ref(a) }, joinedAt: createdAt, createdAt }
      case 'space.atbb.modAction': return { $type: coll, action: 'space.atbb.modAction.' + r.pick(['ban', 'lock', 'pin', 'delete']), subject: r.chance(0.5) ? { did: this.someDid(a) } : { post: this.ref(a) }, reason: r.chance(0.3) ? null : t(4), createdBy: a.did, expiresAt: createdAt, createdAt }
      case 'space.atbb.reaction': return { $type: coll, subject: this.ref(a), emoji: r.pick(['👍', '❤️', '🎉', '👩‍💻']), createdAt }
      case 'com.huddle.slotOffer': return { $type: coll, host: a.did, startsAt: createdAt, durationMinutes: 15 * (1 + r.int(8)), price: { amountMinor: r.int(100000), currency: r.pick(['EUR', 'USD', 'JPY']) }, location: { lat: '52.5' + r.int(999), lon: '13.4' + r.int(999) }, tags: [], public: r.chance(0.5), notes: t(5) }
      case 'com.huddle.bookingRequest': return { $type: coll, offer: this.ref(a), guest: this.someDid(a), status: r.pick(['pending', 'withdrawn']), message: t(6), attendees: [], createdAt }
      case 'com.huddle.booking': return { $type: coll, request: this.ref(a), offer: this.ref(a), status: r.pick(['confirmed', 'cancelled', 'completed']), rating: r.chance(0.5) ? r.int(6) : null, createdAt }
      case 'sh.tangled.repo': return { $type: coll, name: 'repo-' + r.int(9999), knot: 'knot1.tangled.sh', spindle: 'spindle.tangled.sh', description: t(4), topics: r.chance(0.5) ? [] : ['c++', 'atproto'], labels: [], source: 'https://tangled.org/' + r.int(99), createdAt }
      case 'sh.tangled.spindle.member': return { $type: coll, subject: this.someDid(a), instance: 'spindle.tangled.sh', createdAt }
      case 'sh.tangled.repo.collaborator': return { $type: coll, subject: this.someDid(a), repo: `at://${a.did}/sh.tangled.repo/${this.tid()}`, createdAt }
      case 'test.loopback.shapes': { // every data-model corner that JSON can carry
        const deep = (d) => d ? { [r.pick(['k', 'kk', 'ключ', '🦋', 'z-key'])]: deep(d - 1), list: [d, [], [[]], {}] } : null
        return {
          $type: coll, nil: null, yes: true, no: false, zero: 0, neg: -1, min: -9007199254740991, max: 9007199254740991,
          ints: [23, 24, 255, 256, 65535, 65536, 4294967295, 4294967296, -24, -25, -256, -257, -65537, -4294967297],
          empty: '', emptyArr: [], emptyObj: {}, link: { $link: this.ref(a).cid }, bytes: { $bytes: Buffer.from(String(r.int(1e9))).toString('base64').replace(/=+$/, '') }, noBytes: { $bytes: '' },
          deep: deep(1 + r.int(12)), b: 1, a: 2, bb: 3, aa: 4, '': 'empty key', 'key with space': 1, 'ключ': 'k', nul: 'x\u0000y', text: t(8), createdAt,
        }
      }
      case 'test.loopback.large': return { $type: coll, text: 'x'.repeat(a.sizeLarge ?? 20000 + r.int(30000)), list: Array.from({ length: 200 }, (_, k) => ({ k, v: t(1) })), createdAt }
    }
    throw new Error(coll)
  }
  rkeyFor(a, coll) {
    const r = a.r
    if (coll === 'app.bsky.actor.profile' || coll === 'space.atbb.forum.forum') return 'self'
    if (coll === 'test.loopback.shapes' && r.chance(0.6)) return r.pick(['a', '0', '~', '_x', '-', 'A.b-c_d~e:f', 'did:plc:' + 'q'.repeat(24), 'z'.repeat(512), 'k' + r.int(500), r.int(99999).toString(36)])
    return this.tid()
  }
  pickColl(r) {
    const w = [['app.bsky.feed.post', 20], ['app.bsky.feed.like', 14], ['app.bsky.feed.repost', 3], ['app.bsky.graph.follow', 8], ['app.bsky.graph.block', 1], ['app.bsky.actor.profile', 2],
      ['space.atbb.post', 12], ['space.atbb.forum.forum', 1], ['space.atbb.forum.board', 3], ['space.atbb.membership', 4], ['space.atbb.modAction', 3], ['space.atbb.reaction', 5],
      ['com.huddle.slotOffer', 4], ['com.huddle.bookingRequest', 4], ['com.huddle.booking', 3], ['sh.tangled.repo', 3], ['sh.tangled.spindle.member', 2], ['sh.tangled.repo.collaborator', 3],
      ['test.loopback.shapes', 4], ['test.loopback.large', 0.3]]
    let x = r() * w.reduce((s, e) => s + e[1], 0); for (const [c, v] of w) if ((x -= v) < 0) return c
    return w[0][0]
  }
  // --- single actions ------------------------------------------------------
  async create(a, coll = this.pickColl(a.r)) {
    const rkey = this.rkeyFor(a, coll); const key = `${coll}/${rkey}`
    const record = this.record(a, coll)
    const fixed = a.recs.has(key)
    const res = fixed || a.r.chance(0.15)
      ? await this.api[a.p].post('com.atproto.repo.putRecord', { repo: a.did, collection: coll, rkey, record, validate: false }, a.jwt)
      : await this.api[a.p].post('com.atproto.repo.createRecord', { repo: a.did, collection: coll, rkey, record, ...(coll.startsWith('app.bsky.graph') ? {} : { validate: false }) }, a.jwt)
    a.recs.set(key, { coll, rkey, cid: res.cid, record }); this.count(fixed ? 'putUpdate' : 'create')
  }
  rec(a) { const k = [...a.recs.keys()]; return k.length ? a.recs.get(k[a.r.int(k.length)]) : null }
  async update(a) {
    const e = this.rec(a); if (!e) return this.create(a)
    const record = a.r.chance(0.08) ? e.record : this.record(a, e.coll) // sometimes a no-op put: the PDS emits nothing
    const res = await this.api[a.p].post('com.atproto.repo.putRecord', { repo: a.did, collection: e.coll, rkey: e.rkey, record, validate: false }, a.jwt)
    this.count(res.cid === e.cid ? 'putNoop' : 'putUpdate'); e.cid = res.cid; e.record = record
  }
  async del(a) {
    const e = this.rec(a); if (!e) return this.create(a)
    await this.api[a.p].post('com.atproto.repo.deleteRecord', { repo: a.did, collection: e.coll, rkey: e.rkey }, a.jwt)
    a.recs.delete(`${e.coll}/${e.rkey}`); this.count('delete')
  }
  async batch(a, n, mix = true) {
    const writes = [], touched = new Set(), after = []
    for (let k = 0; k < n; k++) {
      const d = mix ? a.r() : 0, e = d > 0.6 ? this.rec(a) : null
      if (e && !touched.has(`${e.coll}/${e.rkey}`) && !e.coll.startsWith('app.bsky.')) {
        const key = `${e.coll}/${e.rkey}`; touched.add(key)
        if (d > 0.8) { writes.push({ $type: 'com.atproto.repo.applyWrites#delete', collection: e.coll, rkey: e.rkey }); after.push(() => a.recs.delete(key)) }
        else { const value = this.record(a, e.coll); writes.push({ $type: 'com.atproto.repo.applyWrites#update', collection: e.coll, rkey: e.rkey, value }); after.push((r) => { e.cid = r.cid; e.record = value }) }
      } else {
        let coll = this.pickColl(a.r); if (n > 50) coll = a.r.pick(['space.atbb.reaction', 'app.bsky.feed.post', 'sh.tangled.spindle.member', 'com.huddle.booking'])
        if (coll === 'test.loopback.large') coll = 'space.atbb.post'
        const rkey = this.rkeyFor(a, coll), key = `${coll}/${rkey}`; if (touched.has(key) || a.recs.has(key)) continue
        touched.add(key); const value = this.record(a, coll)
        writes.push({ $type: 'com.atproto.repo.applyWrites#create', collection: coll, rkey, value }); after.push((r) => a.recs.set(key, { coll, rkey, cid: r.cid, record: value }))
      }
    }
    if (!writes.length) return
    const res = await this.api[a.p].post('com.atproto.repo.applyWrites', { repo: a.did, validate: false, writes }, a.jwt)
    res.results.forEach((r, k) => after[k]?.(r)); this.count('applyWrites'); this.count('applyWritesOps', writes.length)
  }
  async wipe(a) { // delete everything: the repo ends on the empty MST
    while (a.recs.size) {
      const part = [...a.recs.values()].slice(0, 150)
      await this.api[a.p].post('com.atproto.repo.applyWrites', { repo: a.did, writes: part.map((e) => ({ $type: 'com.atproto.repo.applyWrites#delete', collection: e.coll, rkey: e.rkey })) }, a.jwt)
      part.forEach((e) => a.recs.delete(`${e.coll}/${e.rkey}`)); this.count('wipe')
    }
  }
  async uploadBlob(a) {
    const raw = Buffer.concat([PNG, Buffer.from(`${a.did}${a.blobs.length}`)])
    const res = await this.api[a.p].call('POST', 'com.atproto.repo.uploadBlob', { raw, type: 'image/png', auth: a.jwt }); a.blobs.push(res.blob); this.count('uploadBlob')
  }
  async handleChange(a, name = `${a.name}-h${a.r.int(9999)}`) {
    const handle = name + this.net.pds[a.p].ctx.cfg.identity.serviceHandleDomains[0]
    await this.api[a.p].post('com.atproto.identity.updateHandle', { handle }, a.jwt); a.handle = handle; this.count('handleChange'); await this.snapDoc(a.did)
  }
  async deactivate(a) { await this.api[a.p].post('com.atproto.server.deactivateAccount', {}, a.jwt); a.state = 'deactivated'; this.count('deactivate') }
  async activate(a) { await this.api[a.p].call('POST', 'com.atproto.server.activateAccount', { auth: a.jwt }); a.state = 'active'; this.count('activate') }
  async takedown(a, applied) {
    await this.api[a.p].post('com.atproto.admin.updateSubjectStatus', { subject: { $type: 'com.atproto.admin.defs#repoRef', did: a.did }, takedown: { applied, ref: '1' } }, ADMIN)
    a.state = applied ? 'takendown' : 'active'; this.count(applied ? 'takedown' : 'restore')
    if (!applied) { const s = await this.api[a.p].post('com.atproto.server.createSession', { identifier: a.did, password: `pw-${a.name}` }); a.jwt = 'Bearer ' + s.accessJwt }
  }
  async adminDelete(a) { await this.api[a.p].post('com.atproto.admin.deleteAccount', { did: a.did }, ADMIN); a.state = 'deleted'; this.count('deleteAccount') }
  async selfDelete(a) {
    const token = await this.net.pds[a.p].ctx.accountManager.createEmailToken(a.did, 'delete_account')
    await this.api[a.p].post('com.atproto.server.deleteAccount', { did: a.did, password: `pw-${a.name}`, token }); a.state = 'deleted'; this.count('deleteAccount')
  }
  async rotateKey(a) { // new signing key -> PLC op -> #identity + #sync, next #commit is signed by the new key
    const ctx = this.net.pds[a.p].ctx, { keyLocation } = await ctx.actorStore.getLocation(a.did)
    const key = await Secp256k1Keypair.create({ exportable: true })
    await fs.writeFile(keyLocation, await key.export())
    const log = console.log; console.log = () => {}; try { await scripts['rotate-keys'](ctx, [a.did]) } finally { console.log = log }
    this.count('rotateKey'); await this.snapDoc(a.did)
  }
  async migrate(a, to) { // the documented account migration flow, over XRPC
    const src = this.api[a.p], dst = this.api[to], srcPds = this.net.pds[a.p], dstPds = this.net.pds[to]
    const aud = (await dst.get('com.atproto.server.describeServer')).did
    const sa = await src.get('com.atproto.server.getServiceAuth', { aud, lxm: 'com.atproto.server.createAccount' }, a.jwt)
    const handle = `${a.name}m${to}` + dstPds.ctx.cfg.identity.serviceHandleDomains[0]
    const s = await dst.post('com.atproto.server.createAccount', { did: a.did, handle, email: `${a.name}m${to}.${this.seed}@test.com`, password: `pw-${a.name}` }, 'Bearer ' + sa.token)
    const jwt = 'Bearer ' + s.accessJwt
    const car = await src.get('com.atproto.sync.getRepo', { did: a.did })
    await dst.call('POST', 'com.atproto.repo.importRepo', { raw: car, type: 'application/vnd.ipld.car', auth: jwt })
    for (const b of (await src.get('com.atproto.sync.listBlobs', { did: a.did, limit: '500' })).cids) {
      const raw = await src.get('com.atproto.sync.getBlob', { did: a.did, cid: b })
      await dst.call('POST', 'com.atproto.repo.uploadBlob', { raw, type: 'image/png', auth: jwt })
    }
    const creds = await dst.get('com.atproto.identity.getRecommendedDidCredentials', undefined, jwt)
    const token = await srcPds.ctx.accountManager.createEmailToken(a.did, 'plc_operation')
    const signed = await src.post('com.atproto.identity.signPlcOperation', { token, ...creds }, a.jwt)
    await dst.post('com.atproto.identity.submitPlcOperation', { operation: signed.operation }, jwt)
    await this.snapDoc(a.did)
    await dst.call('POST', 'com.atproto.server.activateAccount', { auth: jwt })
    await src.post('com.atproto.server.deactivateAccount', {}, a.jwt)
    Object.assign(a, { p: to, jwt, handle, state: 'active', blobs: [] }); this.count('migrate')
  }
  // --- the run -------------------------------------------------------------
  async step(a) {
    const d = a.r()
    if (d < 0.62) return this.create(a)
    if (d < 0.80) return this.update(a)
    if (d < 0.90) return this.del(a)
    if (d < 0.978) return this.batch(a, 2 + a.r.int(8))
    if (d < 0.986 && a.blobs.length < 3) return this.uploadBlob(a)
    if (d < 0.992) return this.handleChange(a)
    return this.update(a)
  }
  async guard(a, what, fn) { try { await fn() } catch (e) { const k = `${what}: ${String(e.message).slice(0, 140)}`; this.errors[k] = (this.errors[k] ?? 0) + 1 } }
  // commits: about how many write calls; specials: run the account life-cycle events
  async run({ commits = 2500, concurrency = 4, specials = true, migrations = true, bigBatches = 4, sizeLarge, delayMs = 0, shouldStop = () => false } = {}) {
    const two = this.net.pds.length > 1
    for (let i = this.acc.length; i < this.n; i++) {
      const a = await this.createAccount(i, two && (this.halves ? i % 2 === 1 : i % 15 >= 13) ? 1 : 0)
      if (sizeLarge) a.sizeLarge = sizeLarge
      await this.guard(a, 'profile', () => this.create(a, 'app.bsky.actor.profile'))
      if (i % 3 === 0) await this.guard(a, 'uploadBlob', () => this.uploadBlob(a))
    }
    const done = { n: 0 }, sp = []
    if (specials && this.n >= 30) {
      const A = this.acc.filter((a) => a.p === 0), B = this.acc.filter((a) => a.p === 1), q = (k) => A[A.length - 1 - k]
      const at = (f, a, what, fn) => sp.push({ at: Math.floor(commits * f), a, what, fn })
      at(0.30, q(0), 'deactivate', (a) => this.deactivate(a)); at(0.45, q(0), 'activate', (a) => this.activate(a))
      at(0.85, q(1), 'deactivate', (a) => this.deactivate(a))
      at(0.35, q(2), 'takedown', (a) => this.takedown(a, true)); at(0.55, q(2), 'restore', (a) => this.takedown(a, false))
      at(0.80, q(3), 'takedown', (a) => this.takedown(a, true))
      at(0.60, q(4), 'adminDelete', (a) => this.adminDelete(a)); at(0.70, q(5), 'selfDelete', (a) => this.selfDelete(a))
      at(0.40, q(6), 'rotateKey', (a) => this.rotateKey(a)); at(0.65, q(6), 'rotateKey', (a) => this.rotateKey(a)); at(0.50, q(7), 'rotateKey', (a) => this.rotateKey(a))
      at(0.50, q(8), 'wipe', (a) => this.wipe(a)); at(0.97, q(9), 'wipe', (a) => this.wipe(a))
      at(0.25, q(10), 'handle', (a) => this.handleChange(a)); at(0.90, q(11), 'handle', (a) => this.handleChange(a))
      for (let k = 0; k < bigBatches; k++) at(0.2 + 0.7 * k / bigBatches, q(12 + k), 'batch200', (a) => this.batch(a, 200, false))
      if (two && migrations) {
        at(0.55, q(17), 'migrate', (a) => this.migrate(a, 1)); at(0.75, q(18), 'migrate', (a) => this.migrate(a, 1))
        at(0.60, B[0], 'migrate', (a) => this.migrate(a, 0))
        at(0.40, q(19), 'migrate', (a) => this.migrate(a, 1)); at(0.80, q(19), 'moveAndWrite', async (a) => { for (let k = 0; k < 5; k++) await this.create(a) })
      }
      sp.sort((x, y) => x.at - y.at)
    }
    const groups = Array.from({ length: concurrency }, (_, w) => this.acc.filter((a) => a.i % concurrency === w))
    await Promise.all(groups.map(async (mine, w) => {
      const r = rng(this.seed * 31 + w), todo = sp.filter((s) => mine.includes(s.a))
      while (done.n < commits && !shouldStop()) {
        while (todo.length && todo[0].at <= done.n) { const s = todo.shift(); await this.guard(s.a, s.what, () => s.fn(s.a)) }
        const act = mine.filter((a) => a.state === 'active'); const a = act[Math.floor(r() ** 2 * act.length)] // skewed: a few busy repos
        await this.guard(a, 'step', () => this.step(a)); done.n++
        if (delayMs) await sleep(delayMs)
        if (done.n % 500 === 0) this.log(`${done.n} calls`)
      }
      for (const s of todo) await this.guard(s.a, s.what, () => s.fn(s.a))
    }))
    return { stats: this.stats, errors: this.errors }
  }
}
