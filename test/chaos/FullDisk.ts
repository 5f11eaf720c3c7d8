/** A file system whose disk is full while a marker file exists: half of a write still succeeds. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { systemError } from "effect/PlatformError"
import * as Fs from "node:fs"

const full = systemError({
  _tag: "Unknown",
  module: "FileSystem",
  method: "writeAll",
  description: "ENOSPC: no space left on device"
})

export const layer = (flag: string): Layer.Layer<FileSystem.FileSystem> =>
  Layer.effect(
    FileSystem.FileSystem,
    Effect.map(FileSystem.FileSystem, (fs) => ({
      ...fs,
      open: (path, options) =>
        Effect.map(fs.open(path, options), (file): FileSystem.File =>
          Object.assign(Object.create(file), {
            writeAll: (bytes: Uint8Array) =>
              Effect.suspend(() =>
                Fs.existsSync(flag)
                  ? Effect.andThen(file.writeAll(bytes.subarray(0, bytes.length / 2)), Effect.fail(full))
                  : file.writeAll(bytes)
              )
          })
        )
    }))
  ).pipe(Layer.provide(NodeFileSystem.layer))
