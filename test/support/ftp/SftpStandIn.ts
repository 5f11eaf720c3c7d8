/** A small SFTP server whose listings a test writes, for names and attributes that real servers don't have. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import ssh2 from "ssh2"
import type { Running } from "../FtpServers.ts"

export interface Entry {
  readonly name: string
  readonly kind: "file" | "folder" | "link"
  readonly bytes?: Uint8Array
  /** Seconds since 1970. */
  readonly modified: number
}

export interface Options {
  readonly password: string
  /** `password` accepts the password at once, `keyboard-interactive` prompts for it. */
  readonly method: "password" | "keyboard-interactive"
  /** The entries of the root folder. */
  readonly entries: ReadonlyArray<Entry>
  /** Returns the real path of a requested path; defaults to the path itself. */
  readonly real?: (path: string) => string
  /** Called for each read of a file; true leaves the read without a response. */
  readonly silent?: () => boolean
  /** Called for each READ, with the requested offset. */
  readonly onRead?: (offset: number) => void
  /**
   * Returns the size in the attributes of a file; defaults to the true size. `opened` is true for attributes by handle.
   */
  readonly size?: (entry: Entry, opened: boolean) => number
  /**
   * Selects folders for whose listing the server responds with FAILURE: OpenSSH's `errno_to_portable` maps every error
   * to it except a missing file, a missing permission and a wrong argument (for example a failing disk or a stale
   * mount).
   */
  readonly failing?: (path: string) => boolean
  /**
   * Called for each REALPATH, LSTAT and OPEN. Returns the status of the response, or `drop` to end the connection. A
   * stale NFS handle is FAILURE (OpenSSH's `errno_to_portable`), a parent folder without permission PERMISSION_DENIED.
   * A file that another program holds on Windows is FAILURE (PowerShell/Win32-OpenSSH#1605).
   */
  readonly refuses?: (request: "REALPATH" | "LSTAT" | "OPEN", path: string) => number | "drop" | undefined
  /**
   * Leaves the file type out of `permissions`, as servers on Windows do (apache/mina-sshd#489, hierynomus/sshj#867):
   * `longname` begins with the type in the form of `ls -l`, or is empty.
   */
  readonly typeless?: { readonly longname: boolean }
  /** Returns the names for each READDIR instead of `entries`, without end: the listing never ends. */
  readonly endless?: () => ReadonlyArray<Entry>
}

const { MODES, STATUS } = {
  MODES: { file: 0o100644, folder: 0o040755, link: 0o120777 },
  STATUS: ssh2.utils.sftp.STATUS_CODE
}

const attributesOf = (entry: Entry, size = entry.bytes?.length ?? 0, typeMask = 0o170000) => ({
  mode: MODES[entry.kind] & (typeMask | 0o7777),
  uid: 0,
  gid: 0,
  size,
  atime: entry.modified,
  mtime: entry.modified
})

const letters = { file: "-", folder: "d", link: "l" }

const serve = (options: Options, asked: Array<string>, sftp: ssh2.SFTPWrapper, drop: () => void) => {
  const handles: Array<{ done: boolean; readonly entry: Entry | undefined }> = []
  const attributes = (entry: Entry, size?: number) =>
    attributesOf(entry, size, options.typeless === undefined ? undefined : 0)
  const of = (path: string) => options.entries.find((entry) => `/root/${entry.name}` === path)
  const hold = (id: number, entry: Entry | undefined) =>
    sftp.handle(id, Buffer.from([handles.push({ done: false, entry }) - 1]))
  /** Returns true if the request was refused. */
  const isRefused = (request: "REALPATH" | "LSTAT" | "OPEN", id: number, path: string): boolean => {
    const answer = options.refuses?.(request, path)
    if (answer === "drop") drop()
    else if (answer !== undefined) sftp.status(id, answer)
    return answer !== undefined
  }
  sftp.on("REALPATH", (id, path) => {
    asked.push(path)
    if (isRefused("REALPATH", id, path)) return
    const filename = path === "." ? "/root" : (options.real?.(path) ?? path)
    sftp.name(id, [{ filename, longname: "", attrs: attributes({ name: "", kind: "folder", modified: 0 }) }])
  })
  sftp.on("OPENDIR", (id, path) =>
    options.failing?.(path) === true ? sftp.status(id, STATUS.FAILURE) : hold(id, undefined)
  )
  sftp.on("READDIR", (id, handle) => {
    const state = handles[handle[0] ?? 0]
    const named = (entries: ReadonlyArray<Entry>) =>
      sftp.name(
        id,
        entries.map((entry) => ({
          filename: entry.name,
          longname: options.typeless?.longname === true ? `${letters[entry.kind]}rw-rw-rw- 1 u g 1 Jan 1 x` : "",
          attrs: attributes(entry, options.size?.(entry, false))
        }))
      )
    if (options.endless !== undefined) return named(options.endless())
    if (state === undefined || state.done) return sftp.status(id, STATUS.EOF)
    state.done = true
    named(options.entries)
  })
  sftp.on("LSTAT", (id, path) => {
    if (isRefused("LSTAT", id, path)) return
    const entry = path === "/root" ? ({ name: "", kind: "folder", modified: 0 } as const) : of(path)
    if (entry === undefined) sftp.status(id, STATUS.NO_SUCH_FILE)
    else sftp.attrs(id, attributes(entry, options.size?.(entry, false)))
  })
  sftp.on("FSTAT", (id, handle) => {
    const entry = handles[handle[0] ?? 0]?.entry
    if (entry === undefined) sftp.status(id, STATUS.FAILURE)
    else sftp.attrs(id, attributes(entry, options.size?.(entry, true)))
  })
  sftp.on("OPEN", (id, path) => {
    asked.push(path)
    if (isRefused("OPEN", id, path)) return
    const entry = of(path)
    if (entry === undefined) sftp.status(id, STATUS.NO_SUCH_FILE)
    else hold(id, entry)
  })
  sftp.on("READ", (id, handle, offset, length) => {
    options.onRead?.(offset)
    if (options.silent?.() === true) return
    // Returns half of the requested bytes: a server may return fewer than requested.
    const bytes = handles[handle[0] ?? 0]?.entry?.bytes?.subarray(offset, offset + Math.ceil(length / 2))
    if (bytes === undefined || bytes.length === 0) sftp.status(id, STATUS.EOF)
    else sftp.data(id, Buffer.from(bytes))
  })
  sftp.on("CLOSE", (id) => sftp.status(id, STATUS.OK))
}

/** Starts the server, which ends with the scope. `asked` has the paths that were resolved or opened. */
export const run = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<
  { readonly source: Pick<Running, "config" | "credentials">; readonly asked: Array<string> },
  never,
  Scope.Scope
> {
  const asked: Array<string> = []
  // One in 300 Ed25519 keys that `ssh2` generates is malformed.
  const hostKey = ssh2.utils.generateKeyPairSync("ecdsa", { bits: 256 })
  const clients = new Set<ssh2.Connection>()
  const server = yield* Effect.acquireRelease(
    Effect.callback<ssh2.Server>((resume) => {
      const server = new ssh2.Server({ hostKeys: [hostKey.private] }, (client) => {
        clients.add(client)
        client.on("error", () => client.end())
        client.on("authentication", (context) => {
          if (context.method !== options.method) return context.reject([options.method])
          const decide = (password: string | undefined) =>
            password === options.password ? context.accept() : context.reject()
          if (context.method === "password") return decide(context.password)
          context.prompt([{ prompt: "Password: ", echo: false }], (answers) => decide(answers[0]))
        })
        client.on("session", (accept) => {
          accept().on("sftp", (accept) => serve(options, asked, accept(), () => client.end()))
        })
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        clients.forEach((client) => client.end())
      })
  )
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return {
    source: {
      config: { protocol: "sftp", host: "127.0.0.1", port, hostKey: hostKey.public },
      credentials: { username: "mirror", password: options.password }
    },
    asked
  }
})
