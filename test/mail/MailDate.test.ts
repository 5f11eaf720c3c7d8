import { afterEach, assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as MailDate from "../../src/mail/MailDate.ts"

const read = (text: string) => Option.getOrNull(Option.map(MailDate.parse(text), DateTime.formatIso))

/** Valid fields, with the sections of RFC 5322 that define them, and their times. */
const dates: ReadonlyArray<readonly [field: string, iso: string]> = [
  ["Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21T15:55:06.000Z"],
  // 4.3: obsolete forms, as in appendix A.6.2 and A.6.3.
  ["21 Nov 97 09:55:06 GMT", "1997-11-21T09:55:06.000Z"],
  ["Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "1997-11-21T15:55:06.000Z"],
  ["Thu,\r\n 13\r\n  Feb\r\n   1969\r\n 23:32\r\n  -0330 (Newfoundland (Time))", "1969-02-14T03:02:00.000Z"],
  ["Thu, 1 Jan 49 00:00:00 UT", "2049-01-01T00:00:00.000Z"],
  ["Sun, 1 Jan 50 00:00:00 UT", "1950-01-01T00:00:00.000Z"],
  ["Mon, 1 Jan 101 00:00:00 UT", "2001-01-01T00:00:00.000Z"],
  ["Tue, 20 Aug 2002 12:00:00 EDT", "2002-08-20T16:00:00.000Z"],
  ["Tue, 20 Aug 2002 12:00:00 pst", "2002-08-20T20:00:00.000Z"],
  // 4.3: unknown names, and military letters, count as -0000.
  ["Tue, 20 Aug 2002 12:00:00 CEST", "2002-08-20T12:00:00.000Z"],
  ["Tue, 20 Aug 2002 12:00:00 A", "2002-08-20T12:00:00.000Z"],
  // 3.3: a leap second.
  ["Sat, 31 Dec 2016 23:59:60 +0000", "2017-01-01T00:00:00.000Z"],
  ["Thu, 29 Feb 2024 12:00:00 +1400", "2024-02-28T22:00:00.000Z"],
  // Seen in real mail: an hour of one digit.
  ["Tue, 7 May 2002 9:38:27 -0600", "2002-05-07T15:38:27.000Z"]
]

const noDates: ReadonlyArray<string> = [
  "",
  "Whenever 12",
  "tomorrow",
  "2001-12-01",
  "12/01/2001",
  "Thu, 22 Aug 0102 12:07:35 +0800",
  "Thu, 30 Feb 2024 12:00:00 +0000",
  "Thu, 29 Feb 2023 12:00:00 +0000",
  "Thu, 32 Jan 2024 12:00:00 +0000",
  "Thu, 22 Aug 2024 24:00:00 +0000",
  "Thu, 22 Aug 2024 12:60:00 +0000",
  "Thu, 22 Aug 2024 12:00:61 +0000",
  "Thu, 22 Aug 2024 12:00:00 +0060",
  "Thu, 22 Aug 2024 12:00:00",
  "Thu, 22 Aug 2024 12:00:00 GMT+1",
  "Mon Aug 26 15:42:41 2002"
]

describe("the date of an email", () => {
  const before = process.env["TZ"]
  afterEach(() => {
    if (before === undefined) delete process.env["TZ"]
    else process.env["TZ"] = before
  })

  for (const zone of ["UTC", "America/St_Johns", "Pacific/Auckland"]) {
    it(`is the same for a process in ${zone}`, () => {
      process.env["TZ"] = zone
      assert.deepStrictEqual(
        dates.map(([field]) => [field, read(field)]),
        dates.map(([field, iso]) => [field, iso])
      )
      assert.deepStrictEqual(
        noDates.map((field) => [field, read(field)]),
        noDates.map((field) => [field, null])
      )
    })
  }
})
