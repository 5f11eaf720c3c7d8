/** The role that may only read the schema `mirror`, and the roles of people with the same rights. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Crypto from "node:crypto"
import { UsageError } from "../engine/Engine.ts"
import { toStoreError } from "../stores/postgres/SqlErrors.ts"
import { transaction } from "../stores/postgres/Transactions.ts"
import { allRows, oneRow } from "../stores/postgres/RowDecoders.ts"
import * as AdvisoryLocks from "../stores/postgres/AdvisoryLocks.ts"

/** The role that owns `derived.query`. It cannot log in. */
export const readerRole = "idem_reader"

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** The grants of a role: it may read all views of `mirror`, including later ones. */
const grants = (role: string): ReadonlyArray<string> => [
  `GRANT USAGE ON SCHEMA mirror TO ${quoted(role)}`,
  `GRANT SELECT ON ALL TABLES IN SCHEMA mirror TO ${quoted(role)}`,
  `ALTER DEFAULT PRIVILEGES IN SCHEMA mirror GRANT SELECT ON TABLES TO ${quoted(role)}`
]

const decodeOwner = oneRow(Schema.Struct({ owner: Schema.String, isSuper: Schema.Boolean }))

const ownerOf = (sql: SqlClient.SqlClient) =>
  Effect.map(
    Effect.flatMap(
      sql`SELECT rolname::text AS owner, rolsuper AS "isSuper" FROM pg_proc JOIN pg_roles ON pg_roles.oid = proowner
        WHERE pg_proc.oid = 'derived.query(text, integer, bigint)'::regprocedure`,
      decodeOwner
    ),
    ({ owner }) => owner
  )

/**
 * Creates the role and makes it the owner of the function. Returns true if the reader role owns the function, and false
 * if the database role may not create the role, and no administrator has.
 */
export const ensure = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  if ((yield* ownerOf(sql)) === readerRole) return true
  const run = (statement: string) => sql.unsafe(statement).unprepared
  return yield* Effect.gen(function* () {
    // Concurrent grants of the same rights would fail, so only one of several first queries runs them.
    yield* AdvisoryLocks.take(sql, "mirror")
    if ((yield* ownerOf(sql)) === readerRole) return true
    // Roles are shared by the whole server: Idem in another database may be creating the role at the same time. A role
    // that may not create roles must not try to, if an administrator has created it.
    yield* run(`DO $$ BEGIN
      IF to_regrole('${readerRole}') IS NULL THEN CREATE ROLE ${readerRole} NOLOGIN; END IF;
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

const decodeSelf = oneRow(Schema.Struct({ self: Schema.String, isThere: Schema.Boolean }))

/** Fails if queries would run with the rights of Idem's own role, which may read credentials and all other data. */
export const required = Effect.gen(function* () {
  if (yield* ensure) return
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql`SELECT current_user::text AS self, to_regrole(${readerRole}) IS NOT NULL AS "isThere"`
  const { isThere, self } = yield* decodeSelf(rows)
  const create = isThere ? "" : `CREATE ROLE ${readerRole} NOLOGIN; `
  return yield* new UsageError({
    message:
      "SQL queries need the role that may only read the schema mirror, which Idem's role may not create: " +
      `run this as an administrator of the database: ${create}GRANT ${readerRole} TO ${quoted(self)}`
  })
}).pipe(toStoreError("checking the role that reads the schema mirror"))

const decodeRoles = allRows(Schema.Struct({ powerful: Schema.Boolean, own: Schema.Boolean }))

/**
 * Allows a role to read `mirror`, and nothing else of Idem. With `login`, creates the role if it does not exist, and
 * returns its new password.
 */
export const grant = Effect.fnUntraced(
  function* (role: string, options: { readonly login: boolean }) {
    const sql = yield* SqlClient.SqlClient
    const run = (statement: string) => sql.unsafe(statement).unprepared
    const rows = yield* sql`SELECT rolsuper OR rolcreaterole AS powerful, rolname = current_user AS own FROM pg_roles
      WHERE rolname = ${role}`
    const [found] = yield* decodeRoles(rows)
    if (found === undefined && !options.login) {
      return yield* new UsageError({
        message: `the database has no role ${JSON.stringify(role)}: idem grant ${role} --login creates it`
      })
    }
    if (options.login && found !== undefined && (found.own || found.powerful)) {
      return yield* new UsageError({
        message: `the role ${JSON.stringify(role)} can do more than read: choose another role`
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
          new UsageError({
            message: "Idem's database role may not create or grant roles: run this as an administrator"
          })
        )
    ),
  toStoreError("granting a role to read the schema mirror")
)
