/** Listings with all facts of a file, and listings that omit some. */
import { assert, describe, it } from "@effect/vitest"
import { parseLs, parseMlsd, parseTime } from "../../../src/integrations/ftp/ListingParser.ts"

describe("times (RFC 3659)", () => {
  it("keep every digit that the server gives, in UTC", () => {
    assert.strictEqual(parseTime("19991005213102"), "1999-10-05T21:31:02Z")
    assert.strictEqual(parseTime("19980615100045.014"), "1998-06-15T10:00:45.014Z")
    assert.strictEqual(parseTime(" 20240229000000"), "2024-02-29T00:00:00Z")
  })

  it("are unknown where they are no such time", () => {
    for (const text of [
      "",
      "0",
      "1999100521310",
      "19991005213102Z",
      "20240231000000",
      "20230229000000",
      "20241301000000"
    ]) {
      assert.isUndefined(parseTime(text), text)
    }
  })
})

describe("MLSD", () => {
  it("gives kinds, sizes and times, and the folder's identity", () => {
    const { entries, identity, problems, unread } = parseMlsd(
      [
        "Type=cdir;Unique=801u2; .",
        "type=pdir;unique=801u1; ..",
        "type=dir;modify=20240102030405; a folder",
        "TYPE=file;SIZE=12;MODIFY=20240102030405.5; f; x=y",
        "type=OS.unix=slink:/etc/passwd;size=3; to",
        "type=OS.unix=symlink; to2",
        "type=OS.unix=chr-13/29; device",
        " no facts"
      ].join("\r\n") + "\r\n"
    )
    assert.strictEqual(identity, "801u2")
    assert.deepStrictEqual(problems, [])
    assert.deepStrictEqual(
      entries.map(({ kind, modified, name, size }) => [name, kind, size, modified]),
      [
        ["a folder", "folder", undefined, "2024-01-02T03:04:05Z"],
        ["f; x=y", "file", 12, "2024-01-02T03:04:05.5Z"],
        ["to", "link", 3, undefined],
        ["to2", "link", undefined, undefined],
        ["device", "other", undefined, undefined]
      ]
    )
    assert.deepStrictEqual(unread, ["no facts"])
  })

  it("reports lines that are none, and takes lone line feeds as ends only where all are", () => {
    assert.strictEqual(parseMlsd("type=file;size=1;modify=20240102030405; a\r\nrubbish\r\n").problems.length, 1)
    assert.strictEqual(parseMlsd("type=file;size=1; a\ntype=file;size=1; b\n").entries.length, 2)
  })
})

describe("LIST", () => {
  it("reads the forms of ls and of DOS, with names as they are, and no times", () => {
    const { entries } = parseLs(
      [
        "total 12",
        "drwxr-xr-x    2 ftp      ftp          4096 Nov 24 14:16 .",
        "drwxr-xr-x    2 ftp      ftp          4096 Nov 24 14:16 ..",
        "-rw-r--r--    1 ftp      ftp             3 Nov 24 14:16  lead",
        "-rw-r--r--    1 ftp      ftp             3 Feb 29  2020 two  spaces ",
        "lrwxrwxrwx    1 ftp      ftp             9 Nov 24 14:16 to -> plain.txt",
        "crw-rw-rw-    1 root     root         1, 3 Nov 24 14:16 null",
        "drwxr-xr-x    2 ftp      ftp          4096 Nov 24 14:16 folder",
        "12-05-96  05:03PM       <DIR>          myDir",
        "04-14-00  03:47PM                  589 readme.htm"
      ].join("\r\n")
    )
    assert.deepStrictEqual(
      entries.map(({ kind, modified, name, size }) => [name, kind, kind === "file" ? size : 0, modified]),
      [
        [" lead", "file", 3, undefined],
        ["two  spaces ", "file", 3, undefined],
        ["to", "link", 0, undefined],
        ["folder", "folder", 0, undefined],
        ["myDir", "folder", 0, undefined],
        ["readme.htm", "file", 589, undefined]
      ]
    )
  })
})
