/**
 * `idem copy`: copies the data of an embedded database, or connections of another PostgreSQL database, into the
 * database of `DATABASE_URL`. With `--blobs`, moves large bodies to the place that the settings name.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { NameTaken } from "../engine/store/StoreError.ts"
import * as Arguments from "./Arguments.ts"
import * as CommandFailure from "./CommandFailure.ts"
import { Output } from "./Output.ts"
import * as RemoteServer from "./RemoteServer.ts"
import { AppServices } from "./AppServices.ts"
import * as TextFormat from "./TextFormat.ts"

const taken = ({ name }: NameTaken) =>
  CommandFailure.failed(
    "NameTaken",
    `the database already has another connection ${TextFormat.quoted(name)}: delete one of the two, then copy`
  )

/** Describes how to end the polling of copied connections in the source. */
const ending = (source: string, connection: Option.Option<string>): string =>
  Option.match(connection, {
    onNone: () => `stop Idem in ${TextFormat.oneLine(source)}`,
    onSome: (name) => `disconnect ${TextFormat.oneLine(name)} in ${TextFormat.oneLine(source)}`
  })

export const copy = Command.make(
  "copy",
  {
    from: Flag.String("from").pipe(
      Flag.withDescription(
        "the source: its IDEM_DATA_DIR, or the URL of another PostgreSQL (or set IDEM_COPY_FROM); stays unchanged"
      ),
      Flag.withMetavar("DIR|URL"),
      Flag.optional
    ),
    connection: Arguments.connectionName(
      "connection",
      "only this connection, and the connections that it created"
    ).pipe(Flag.optional),
    fromBlobs: Flag.String("from-blobs").pipe(
      Flag.withDescription("the source's IDEM_BLOB_DIR or IDEM_BLOB_URL, if it had one"),
      Flag.withMetavar("DIR|URL"),
      Flag.optional
    ),
    blobs: Arguments.flag(
      "blobs",
      "instead, move large bodies from the database or IDEM_BLOB_OLD to IDEM_BLOB_DIR or IDEM_BLOB_URL"
    )
  },
  Effect.fn("copy")(function* ({ blobs, connection, from: given, fromBlobs }) {
    yield* RemoteServer.refuse("copy")
    const output = yield* Output
    const services = yield* AppServices
    if (blobs) {
      if (Option.isSome(given) || Option.isSome(fromBlobs) || Option.isSome(connection)) {
        return yield* CommandFailure.usage("--blobs moves within one database: leave --from and --connection out")
      }
      const { bodies, bytes } = yield* services.moveBlobs
      return yield* output.answer({ bodies, bytes }, () =>
        bodies === 0
          ? "all large bodies are already in their place"
          : `${TextFormat.many(bodies, "large body", "large bodies")} (${TextFormat.bytes(bytes)}) moved`
      )
    }
    const configured = yield* Config.option(Config.Redacted("IDEM_COPY_FROM"))
    const from = Option.getOrElse(given, () => Option.match(configured, { onNone: () => "", onSome: Redacted.value }))
    if (from.trim() === "" || from.includes("\0")) {
      return yield* CommandFailure.usage("--from must name a folder, or be the URL of a PostgreSQL")
    }
    const url = yield* Config.option(Config.Redacted("DATABASE_URL"))
    if (Option.isNone(url) || Redacted.value(url.value) === "") {
      return yield* CommandFailure.usage("DATABASE_URL is not set: it names the database to copy into")
    }
    const { copied, skipped, source, tokens, webhooks } = yield* services
      .copy({
        from: Redacted.make(from),
        connection: Option.getOrUndefined(connection),
        blobFolder: Option.getOrUndefined(fromBlobs),
        onConnection: (name) => (output.json ? Effect.void : output.note(`copying ${TextFormat.oneLine(name)} …`)),
        onLocked: (name) =>
          output.note(
            `the credentials of ${TextFormat.oneLine(name)} are sealed with a key that this process does not have: ` +
              "the connection is paused until you give new ones with idem connect"
          ),
        onLockedWebhook: (name) =>
          output.note(
            `the secret of the webhook ${TextFormat.oneLine(name)} is sealed with a key that this process ` +
              "does not have: delete the webhook and create it again"
          )
      })
      .pipe(
        Effect.catchIf(
          (error) => error instanceof NameTaken,
          (error) => Effect.fail(taken(error))
        )
      )
    yield* output.answer(
      {
        copied: copied.map((one) => ({ ...one })),
        skipped: [...skipped],
        webhooks: webhooks.map((one) => ({ ...one })),
        tokens: [...tokens]
      },
      () =>
        [
          ...copied.map(
            ({ bodies, bytes, contents, name }) =>
              `${TextFormat.oneLine(name)} copied: ${TextFormat.many(contents, "row")}, ` +
              `${TextFormat.many(bodies, "body", "bodies")} (${TextFormat.bytes(bytes)})`
          ),
          ...skipped.map((name) => `${TextFormat.oneLine(name)} was copied before, and stays unchanged`),
          ...webhooks.map(
            ({ name }) =>
              `the webhook ${TextFormat.oneLine(name)} copied without its messages: it sends all that is stored again`
          ),
          ...(tokens.length === 0 ? [] : [`read tokens copied: ${tokens.map(TextFormat.oneLine).join(", ")}`]),
          ...(copied.length + skipped.length === 0
            ? [`there are no connections in ${TextFormat.oneLine(source)}`]
            : []),
          ...(copied.length > 0 ? [output.style.dim(`${ending(source, connection)}, or both will poll`)] : [])
        ].join("\n")
    )
  })
).pipe(
  Command.withDescription("Copy data from Idem's embedded database, or from another PostgreSQL, into PostgreSQL"),
  Command.withExamples([
    { command: "DATABASE_URL=postgresql://… idem copy --from ./data", description: "From the embedded database" },
    {
      command: "DATABASE_URL=postgresql://… idem copy --from postgresql://… --connection work",
      description: "One connection of another PostgreSQL"
    },
    {
      command: "IDEM_BLOB_URL=s3://bucket/idem IDEM_BLOB_OLD=/srv/blobs idem copy --blobs",
      description: "Large bodies into a bucket"
    }
  ])
)
