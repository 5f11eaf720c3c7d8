/** The role that may only read the schema `mirror`, and roles of people that are given the same. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Crypto from "node:crypto"
import { UsageError } from "../engine/Engine.ts"
import { toStoreError } from "../stores/postgres/SqlErrors.ts"
import { transaction } from "../stores/postgres/Transactions.ts"

/** Owns `derived.query`. It cannot log in. */
export const readerRole = "idem_reader"

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** The grants of a role: it may read all views of `mirror`, also later ones. */
const grants = (role: string): ReadonlyArray<string> => [
  `GRANT USAGE ON SCHEMA mirror TO ${quoted(role)}`,
  `GRANT SELECT ON ALL TABLES IN SCHEMA mirror TO ${quoted(role)}`,
  `ALTER DEFAULT PRIVILEGES IN SCHEMA mirror GRANT SELECT ON TABLES TO ${quoted(role)}`
]

const decodeOwner = Schema.decodeUnknownEffect(
  Schema.Tuple([Schema.Struct({ owner: Schema.String, isSuper: Schema.Boolean })])
)

const ownerOf = (sql: SqlClient.SqlClient) =>
  Effect.map(
    Effect.flatMap(
      sql`SELECT rolname::text AS owner, rolsuper AS "isSuper" FROM pg_proc JOIN pg_roles ON pg_roles.oid = proowner
        WHERE pg_proc.oid = 'derived.query(text, integer, bigint)'::regprocedure`,
      (rows) => Effect.orDie(decodeOwner(rows))
    ),
    ([row]) => row.owner
  )

/**
 * Makes the role and gives it the function. A database role that may not make roles leaves the function as it is: it
 * then runs with that role's own rights. Returns true if the function belongs to the reader.
 */
export const ensure = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  if ((yield* ownerOf(sql)) === readerRole) return true
  const run = (statement: string) => sql.unsafe(statement).unprepared
  return yield* Effect.gen(function* () {
    // Two grants of the same thing at once would fail: one of many first queries does it.
    yield* sql`SELECT pg_advisory_xact_lock(1768187245, 3)`
    if ((yield* ownerOf(sql)) === readerRole) return true
    // Roles belong to the whole server: another database's Idem may be making it now.
    yield* run(`DO $$ BEGIN
      CREATE ROLE ${readerRole} NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END $$`)
    yield* Effect.forEach(
      [
        ...grants(readerRole),
        `DO $$ BEGIN
          IF NOT pg_has_role('${readerRole}', 'MEMBER') THEN GRANT ${readerRole} TO CURRENT_USER; END IF;
        END $$`,
        `GRANT CREATE ON SCHEMA derived TO ${readerRole}`,
        `ALTER FUNCTION derived.query OWNER TO ${readerRole}`,
        `REVOKE CREATE ON SCHEMA derived FROM ${readerRole}`,
        `GRANT EXECUTE ON FUNCTION derived.query TO CURRENT_USER`
      ],
      run,
      { discard: true }
    )
    return true
  }).pipe(
    transaction(sql),
    Effect.catchIf(
      (error) => error._tag === "SqlError" && error.reason._tag === "AuthorizationError",
      () => Effect.succeed(false)
    )
  )
}).pipe(toStoreError("making the role that reads the schema mirror"))

const decodeRoles = Schema.decodeUnknownEffect(
  Schema.Array(Schema.Struct({ powerful: Schema.Boolean, own: Schema.Boolean }))
)

/**
 * Lets a role read `mirror`, and nothing else of Idem. With `login` the role is made if there is none, and it gets a
 * new password, which is returned.
 */
export const grant = Effect.fnUntraced(
  function* (role: string, options: { readonly login: boolean }) {
    const sql = yield* SqlClient.SqlClient
    const run = (statement: string) => sql.unsafe(statement).unprepared
    const rows = yield* sql`SELECT rolsuper OR rolcreaterole AS powerful, rolname = current_user AS own FROM pg_roles
      WHERE rolname = ${role}`
    const [found] = yield* Effect.orDie(decodeRoles(rows))
    if (found === undefined && !options.login) {
      return yield* new UsageError({
        message: `the database has no role ${JSON.stringify(role)}: idem grant ${role} --login makes it, with a password`
      })
    }
    if (options.login && found !== undefined && (found.own || found.powerful)) {
      return yield* new UsageError({
        message: `the role ${JSON.stringify(role)} can do more than read: take another name`
      })
    }
    const password = options.login ? Crypto.randomBytes(24).toString("base64url") : undefined
    yield* Effect.gen(function* () {
      if (password !== undefined) {
        yield* run(`${found === undefined ? "CREATE" : "ALTER"} ROLE ${quoted(role)} LOGIN PASSWORD '${password}'`)
      }
      yield* Effect.forEach(grants(role), run, { discard: true })
    }).pipe(transaction(sql))
    return { created: found === undefined, password }
  },
  (effect) =>
    Effect.catchIf(
      effect,
      (error) => error._tag === "SqlError" && error.reason._tag === "AuthorizationError",
      () =>
        Effect.fail(
          new UsageError({ message: "the database's role may not make roles or grant: do it as an administrator" })
        )
    ),
  toStoreError("granting a role to read the schema mirror")
)
