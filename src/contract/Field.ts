/**
 * The description of a field of a config or of credentials. The command line shows it in `idem connect DOMAIN --help`
 * and asks for it, the dashboard builds its form from it, and the JSON Schema carries it.
 */
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"

export interface About {
  readonly title: string
  /** Help for the field in one or two sentences: its effect, unit and default. */
  readonly description: string
  /** An example value, as JSON. */
  readonly example?: Schema.Json | undefined
  /** True for a field that few people set: forms collapse it. */
  readonly isAdvanced?: boolean | undefined
  /** True for a field that the integration itself stores: nobody is asked for it. */
  readonly isInternal?: boolean | undefined
}

const key = "idem/contract/Field"

/** Describes a field: `query: field(Schema.optionalKey(Schema.String), { title: "…", description: "…" })`. */
export const field = <S extends Schema.Top>(schema: S, about: About): S["Rebuild"] =>
  schema.annotateKey({ [key]: about })

/** The descriptions of an object's fields, by name. */
export const aboutFields = (ast: SchemaAST.AST): ReadonlyMap<string, About> =>
  new Map(
    ast._tag === "Objects"
      ? ast.propertySignatures.flatMap(({ name, type }) => {
          const about = type.context?.annotations?.[key] as About | undefined
          return about === undefined ? [] : [[String(name), about] as const]
        })
      : []
  )

const isRedacted = (ast: SchemaAST.AST): boolean => {
  const representation = ast.annotations?.["representation"]
  return Predicate.hasProperty(representation, "id") && representation.id === "effect/schema/Redacted"
}

/** Returns the schemas inside this one, each with the path of its values. */
const schemasIn = (ast: SchemaAST.AST, path: string): ReadonlyArray<readonly [SchemaAST.AST, string]> => {
  const at = (types: ReadonlyArray<SchemaAST.AST>, place: string) => types.map((type) => [type, place] as const)
  const below = (name: string) => (path === "" ? name : `${path}.${name}`)
  switch (ast._tag) {
    case "Objects":
      return [
        ...ast.propertySignatures.map(({ name, type }) => [type, below(String(name))] as const),
        ...ast.indexSignatures.map(({ type }) => [type, below("*")] as const)
      ]
    case "Arrays":
      return at([...ast.elements, ...ast.rest], `${path}[]`)
    case "Union":
      return at(ast.types, path)
    case "Declaration":
      return at(ast.typeParameters, path)
    case "Suspend":
      return at([ast.thunk()], path)
    default:
      return []
  }
}

/** Returns the path of a secret in values of this schema: `token`, `servers[].token`. Undefined if there is none. */
export const secretIn = (ast: SchemaAST.AST, path = "", seen = new Set<SchemaAST.AST>()): string | undefined => {
  if (isRedacted(ast)) return path
  if (seen.has(ast)) return undefined
  seen.add(ast)
  for (const [type, at] of schemasIn(ast, path)) {
    const found = secretIn(type, at, seen)
    if (found !== undefined) return found
  }
  return undefined
}

/** The names of the fields that hold secrets. */
const secretFields = (ast: SchemaAST.AST): ReadonlySet<string> =>
  new Set(
    ast._tag === "Objects"
      ? ast.propertySignatures.flatMap(({ name, type }) => {
          const types = type._tag === "Union" ? type.types : [type]
          return types.some(isRedacted) ? [String(name)] : []
        })
      : []
  )

const described = (schema: Schema.JsonObject, ast: SchemaAST.AST): Schema.JsonObject => {
  const about = aboutFields(ast)
  const secrets = secretFields(ast)
  const properties = schema["properties"]
  if (!Predicate.isObject(properties)) return schema
  return {
    ...schema,
    properties: Object.fromEntries(
      Object.entries(properties).map(([name, property]) => {
        const { description, example, isAdvanced, isInternal, title } = about.get(name) ?? {}
        return [
          name,
          {
            ...(property as Schema.JsonObject),
            ...(title === undefined ? {} : { title }),
            ...(description === undefined ? {} : { description }),
            ...(example === undefined ? {} : { examples: [example] }),
            ...(secrets.has(name) ? { writeOnly: true } : {}),
            ...(isAdvanced === true ? { advanced: true } : {}),
            ...(isInternal === true ? { internal: true } : {})
          }
        ]
      })
    )
  }
}

/** Adds the titles and descriptions of the fields to the JSON Schema of an object, or of a union of objects. */
const describe = (schema: Schema.JsonObject, ast: SchemaAST.AST): Schema.JsonObject => {
  const { anyOf } = schema
  if (ast._tag !== "Union" || !Array.isArray(anyOf)) return described(schema, ast)
  return {
    ...schema,
    anyOf: anyOf.map((member: Schema.JsonObject, index) => {
      const type = ast.types[index]
      return type === undefined ? member : described(member, type)
    })
  }
}

const draft = { $schema: "https://json-schema.org/draft/2020-12/schema" }

/**
 * Returns the JSON Schema of a config or of credentials, with the titles and descriptions of the fields. If JSON Schema
 * cannot express a constraint, the result allows any value: decoding checks it.
 */
export const jsonSchema = (schema: Schema.Codec<unknown, unknown>): Schema.JsonObject => {
  try {
    const { definitions, schema: root } = Schema.toJsonSchemaDocument(schema, { onExcessProperty: "error" })
    const named = Object.keys(definitions).length === 0 ? {} : { $defs: definitions as Schema.JsonObject }
    return { ...draft, ...describe(root as Schema.JsonObject, schema.ast), ...named }
  } catch {
    return draft
  }
}
