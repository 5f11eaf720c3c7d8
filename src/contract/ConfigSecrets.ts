/**
 * The secrets in a config: the fields that its schema declares as `Redacted`. Documents have a mask in their place. A
 * changed config that has the mask, or omits the field, keeps the stored secret.
 *
 * Secrets belong in credentials, which are sealed when they are stored. A config is not.
 */
import type * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import { isRedacted } from "./Field.ts"

/** Stands for a secret in a document. */
export const mask = "<redacted>"

type Path = ReadonlyArray<string | number>

type Json = Schema.Json | undefined

const isObject = (json: unknown): json is Schema.JsonObject =>
  typeof json === "object" && json !== null && !Array.isArray(json)

/** Returns true if values of this schema may hold a secret. */
const holdsSecret = (ast: SchemaAST.AST, seen = new Set<SchemaAST.AST>()): boolean => {
  if (isRedacted(ast)) return true
  if (seen.has(ast)) return false
  seen.add(ast)
  const any = (types: ReadonlyArray<SchemaAST.AST>) => types.some((type) => holdsSecret(type, seen))
  switch (ast._tag) {
    case "Declaration":
      return any(ast.typeParameters)
    case "Objects":
      return any([...ast.propertySignatures, ...ast.indexSignatures].map(({ type }) => type))
    case "Arrays":
      return any([...ast.elements, ...ast.rest])
    case "Union":
      return any(ast.types)
    case "Suspend":
      return any([ast.thunk()])
    default:
      return false
  }
}

/**
 * Returns the paths of the secrets in this JSON. A part of it whose form differs from the schema's, because the schema
 * transforms it, counts as a secret if it may hold one.
 */
const pathsOf = (ast: SchemaAST.AST, json: unknown, at: Path = []): ReadonlyArray<Path> => {
  if (json === null || json === undefined) return []
  if (isRedacted(ast)) return [at]
  if (ast._tag === "Union") return ast.types.flatMap((type) => pathsOf(type, json, at))
  if (ast._tag === "Suspend") return pathsOf(ast.thunk(), json, at)
  if (ast.encoding === undefined && ast._tag === "Objects") {
    return Object.entries(isObject(json) ? json : {}).flatMap(([name, value]) => {
      const own = ast.propertySignatures.filter((property) => property.name === name)
      return (own.length > 0 ? own : ast.indexSignatures).flatMap(({ type }) => pathsOf(type, value, [...at, name]))
    })
  }
  if (ast.encoding === undefined && ast._tag === "Arrays") {
    return (Array.isArray(json) ? json : []).flatMap((value: unknown, index) => {
      const own = ast.elements[index]
      return (own === undefined ? ast.rest : [own]).flatMap((type) => pathsOf(type, value, [...at, index]))
    })
  }
  return holdsSecret(ast) ? [at] : []
}

const get = (json: unknown, path: Path): unknown =>
  path.reduce<unknown>(
    (value, key) =>
      typeof key === "number"
        ? Array.isArray(value)
          ? value[key]
          : undefined
        : isObject(value)
          ? value[key]
          : undefined,
    json
  )

const set = (json: Json, [key, ...rest]: Path, value: Json): Json => {
  if (key === undefined) return value
  if (Array.isArray(json)) return json.map((each, index) => (index === key ? (set(each, rest, value) ?? null) : each))
  return isObject(json) ? { ...json, [key]: set(json[key], rest, value) ?? null } : json
}

/** Returns the secrets that are texts. */
export const texts = (ast: SchemaAST.AST, config: Schema.Json): ReadonlyArray<string> =>
  pathsOf(ast, config)
    .map((path) => get(config, path))
    .filter((value): value is string => typeof value === "string" && value !== mask)

/** Returns the config with the mask in place of its secrets. */
export const masked = (ast: SchemaAST.AST, config: Schema.Json): Schema.Json =>
  pathsOf(ast, config).reduce((shown, path) => set(shown, path, mask) ?? null, config)

const nameOf = (path: Path): string =>
  path.reduce<string>(
    (name, key) => (typeof key === "number" ? `${name}[${key}]` : name === "" ? key : `${name}.${key}`),
    ""
  )

/** A changed config with its secrets. */
export interface Kept {
  readonly config: Schema.Json
  /** True if the config has a stored secret that was not given. */
  readonly isKept: boolean
  /** The path of a masked field without a stored secret: `token`, `servers[0].token`. */
  readonly missing: string | undefined
}

/**
 * Returns the config with the stored secrets where it masks or omits them. Secrets in arrays are not kept, because the
 * elements may have another order.
 */
export const kept = (ast: SchemaAST.AST, given: Schema.Json, stored: Schema.Json | undefined): Kept => {
  const paths = pathsOf(ast, stored)
    .filter((path) => path.every((key) => typeof key === "string"))
    .filter((path) => {
      const value = get(given, path)
      return value === mask || (value === undefined && isObject(get(given, path.slice(0, -1))))
    })
  const config = paths.reduce((whole, path) => set(whole, path, get(stored, path) as Schema.Json) ?? null, given)
  const missing = pathsOf(ast, config).find((path) => get(config, path) === mask)
  return { config, isKept: paths.length > 0, missing: missing === undefined ? undefined : nameOf(missing) }
}
