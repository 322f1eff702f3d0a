// Starts PLC (+ optional Multikey front) and N real PDS on loopback.
import './loopback.mjs'
import http from 'node:http'
import { TestPlc, TestPds, mockResolvers } from '@atproto/dev-env'

// DID document in the form plc.directory serves today (Multikey, absolute ids).
// @did-plc/server 0.0.1 on npm still serves the 2019 form.
export const toMultikey = (doc, didKey) => ({
  '@context': ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/multikey/v1', 'https://w3id.org/security/suites/secp256k1-2019/v1'],
  id: doc.id,
  alsoKnownAs: doc.alsoKnownAs,
  verificationMethod: doc.verificationMethod.map((v) => ({
    id: doc.id + v.id, type: 'Multikey', controller: doc.id, publicKeyMultibase: didKey.replace('did:key:', ''),
  })),
  service: doc.service,
})

// GET /did -> Multikey document; everything else is passed on to the real PLC server.
export const startFront = (plcUrl, port = 0) => new Promise((resolve) => {
  const srv = http.createServer(async (req, res) => {
    try {
      const chunks = []
      for await (const c of req) chunks.push(c)
      const up = await fetch(plcUrl + req.url, {
        method: req.method,
        headers: req.headers['content-type'] ? { 'content-type': req.headers['content-type'] } : {},
        body: chunks.length ? Buffer.concat(chunks) : undefined,
      })
      let body = Buffer.from(await up.arrayBuffer())
      const type = up.headers.get('content-type') ?? 'application/json'
      if (up.ok && req.method === 'GET' && /^\/did:plc:[a-z2-7]{24}$/.test(req.url)) {
        const data = await (await fetch(plcUrl + req.url + '/data')).json()
        body = Buffer.from(JSON.stringify(toMultikey(JSON.parse(body), data.verificationMethods.atproto)))
      }
      res.writeHead(up.status, { 'content-type': type, 'content-length': body.length })
      res.end(body)
    } catch (err) { res.writeHead(502); res.end(String(err)) }
  })
  srv.listen(port, () => resolve({ url: `http://localhost:${srv.address().port}`, close: () => new Promise((r) => { srv.closeAllConnections(); srv.close(r) }) }))
})

// domains[i] is the handle domain of PDS i.
export async function startNet({ plcPort, plcUrl, pdsPorts = [0], multikey = false, domains = ['.test', '.pdsb.test', '.pdsc.test'], pdsConfig = {} } = {}) {
  const plc = plcUrl ? null : await TestPlc.create(!multikey && plcPort ? { port: plcPort } : {})
  const front = plc && multikey ? await startFront(plc.url, plcPort ?? 0) : null
  const url = plcUrl ?? front?.url ?? plc.url
  const pds = []
  for (let i = 0; i < pdsPorts.length; i++) {
    const p = await TestPds.create({ didPlcUrl: url, ...(pdsPorts[i] ? { port: pdsPorts[i] } : {}), serviceHandleDomains: [domains[i]], ...pdsConfig })
    mockResolvers(p.ctx.idResolver, p)
    pds.push(p)
  }
  return {
    plcUrl: url, plc, pds,
    async close() {
      for (const p of pds) await p.close()
      await front?.close()
      await plc?.close()
    },
  }
}

export class Xrpc {
  constructor(url) { this.url = url }
  async call(method, nsid, { params, body, raw, type, auth } = {}) {
    const qs = params ? '?' + new URLSearchParams(params) : ''
    const headers = {}
    if (auth) headers.authorization = auth
    if (body !== undefined || raw) headers['content-type'] = type ?? 'application/json'
    const res = await fetch(`${this.url}/xrpc/${nsid}${qs}`, { method, headers, body: raw ?? (body !== undefined ? JSON.stringify(body) : undefined) })
    const buf = Buffer.from(await res.arrayBuffer())
    const json = /json/.test(res.headers.get('content-type') ?? '') && buf.length ? JSON.parse(buf) : undefined
    if (!res.ok) { const e = new Error(`${nsid} ${res.status} ${JSON.stringify(json) ?? buf}`); e.status = res.status; e.body = json; throw e }
    return json ?? buf
  }
  get(nsid, params, auth) { return this.call('GET', nsid, { params, auth }) }
  post(nsid, body, auth) { return this.call('POST', nsid, { body, auth }) }
}
