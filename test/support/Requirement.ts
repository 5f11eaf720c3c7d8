/**
 * Programs that some tests need and a machine may lack: a browser, file servers. Their tests are skipped where the
 * program is missing, with a warning. Under CI (`CI=true`) a missing program is an error, because a suite that skips
 * its tests looks like one that passes.
 */
const isCi = !["", "0", "false"].includes(process.env["CI"] ?? "")

/** True if these tests must be skipped, for the reason given. Fails under CI. */
export const skips = (tests: string, missing: string | undefined): boolean => {
  if (missing === undefined) return false
  if (isCi) throw new Error(`${tests} must run under CI, and can't: ${missing}`)
  console.warn(`${tests} are skipped: ${missing}`)
  return true
}
