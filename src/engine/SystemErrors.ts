/** Explains errors of the operating system. */
import type { PlatformError } from "effect/PlatformError"

const words: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  ENOTDIR: "part of the path is a file",
  ENAMETOOLONG: "the name is too long",
  EFBIG: "the file would be larger than this process may write",
  EMFILE: "too many open files",
  EIO: "the disk fails (input/output error)"
}

/** Returns the system's error code (`ENOENT`, …), or undefined if the cause has none. */
export const codeOf = (cause: unknown): string | undefined =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : undefined

export const explain = (cause: unknown): string => {
  const known = words[codeOf(cause) ?? ""]
  return known ?? (cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause))
}

/** Explains why a file operation failed. Effect maps only a few of the system's codes, and all others to `Unknown`. */
export const explainPlatform = ({ reason }: PlatformError): string =>
  words[codeOf(reason.cause) ?? ""] ?? reason.description ?? codeOf(reason.cause) ?? reason._tag
