/**
 * Explains the errors of a config or of credentials in one line that names the fields.
 *
 * The line never repeats values. Of a config, it names all fields. Of credentials, it names only fields that the schema
 * expects, and unknown fields whose name resembles one of those or is in common use: if a person swapped name and
 * value, the name is the secret.
 */
import type * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type * as SchemaAST from "effect/SchemaAST"
import { aboutFields } from "../../contract/Field.ts"
import { type FieldError, UsageError } from "../Engine.ts"
import * as MessageText from "../MessageText.ts"
import { oneLine } from "../SafeText.ts"

interface Problem {
  readonly kind: "missing" | "unexpected" | "wrong"
  readonly text: string
  /** The path of a missing or wrong field, as the message shows it. */
  readonly path?: string
  /** The problems of the nearest variants, of which any may be meant. */
  readonly variants?: ReadonlyArray<Problem>
  /** The missing field, or the expected field that an unexpected one resembles. */
  readonly field?: string | undefined
}

/** Field names that are common in other tools' credentials, so they are not secrets. */
const inCommonUse = new Set([
  "apikey",
  "auth",
  "bearer",
  "bottoken",
  "client",
  "email",
  "host",
  "id",
  "installed",
  "key",
  "login",
  "name",
  "pass",
  "passwd",
  "port",
  "pwd",
  "secret",
  "tokens",
  "type",
  "url",
  "user",
  "usertoken",
  "web"
])

/** Returns the expected field that this name resembles: `client_id`, `cliendId` and `client` resemble `clientId`. */
const resembled = (given: string, names: ReadonlyArray<string>): string | undefined => {
  const name = given.toLowerCase().replaceAll(/[_-]/g, "")
  const holds = (one: string, other: string) => other.length >= 4 && one.includes(other)
  return (
    MessageText.nearest(name, names) ??
    names.find((each) => holds(each.toLowerCase(), name) || holds(name, each.toLowerCase()))
  )
}

interface Place {
  readonly path: string
  /** The names of the fields that are expected here. The message may show them. */
  readonly names: ReadonlyArray<string>
}

/** Returns the names of the fields that a person enters. */
const namesOf = (ast: SchemaAST.AST): ReadonlyArray<string> => {
  const about = aboutFields(ast)
  const names = ast._tag === "Objects" ? ast.propertySignatures.map((property) => String(property.name)) : []
  return names.filter((name) => about.get(name)?.isInternal !== true)
}

const format = SchemaIssue.makeFormatterDefault()

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1)

// Matches the form of a field name. An unexpected key of another form may be a misplaced value.
const plain = /^[A-Za-z][A-Za-z0-9_]{0,40}$/

const problems = (issue: SchemaIssue.Issue, place: Place, secret: boolean): ReadonlyArray<Problem> => {
  switch (issue._tag) {
    case "Pointer": {
      const path = issue.path.reduce<string>((parent, key) => {
        if (typeof key === "number") return `${parent}[${key}]`
        const name = String(key)
        const isShown = place.names.includes(name) || (plain.test(name) && (!secret || isNameable(name, place.names)))
        const shown = isShown ? name : "…"
        return parent === "" ? shown : `${parent}.${shown}`
      }, place.path)
      return problems(issue.issue, { path, names: [] }, secret)
    }
    case "Composite": {
      const names = namesOf(issue.ast)
      return issue.issues.flatMap((each) => problems(each, { path: place.path, names }, secret))
    }
    case "AnyOf": {
      if (issue.issues.length === 0) return [wrong(place, undefined, issue)]
      const members = issue.issues.map((each) => problems(each, place, secret))
      const least = Math.min(...members.map(cost))
      const nearest = members.filter((member) => cost(member) === least)
      const text = nearest.map(sentence).join(", or ")
      const isMissing = nearest.every((member) => member.every(({ kind }) => kind === "missing"))
      return [{ kind: isMissing ? "missing" : "wrong", text, variants: nearest.flatMap(withoutMisspelt) }]
    }
    case "Filter":
      return issue.issue._tag === "InvalidValue"
        ? [wrong(place, secret ? "is not valid" : undefined, issue)]
        : problems(issue.issue, place, secret)
    case "Encoding": {
      // A query parameter is a text. If the text has not the type of the parameter, the error describes the parameter.
      const expected = issue.ast.checks?.at(-1)?.annotations?.["expected"]
      return typeof expected === "string"
        ? [{ kind: "wrong", text: `${place.path}: expected ${expected}`, path: place.path }]
        : problems(issue.issue, place, secret)
    }
    case "MissingKey":
      return [{ kind: "missing", text: `${place.path} is missing`, field: place.path, path: place.path }]
    case "UnexpectedKey": {
      const names = namesOf(issue.ast)
      const isSecret = isHidden(place.path)
      const meant = isSecret ? undefined : resembled(place.path.slice(place.path.lastIndexOf(".") + 1), names)
      const hint = meant === undefined ? names.join(", ") : `did you mean ${meant}?`
      return [
        {
          kind: "unexpected",
          field: meant,
          path: place.path,
          text: isSecret
            ? `it has a field that is not one of ${names.join(", ")}`
            : `${place.path} is not a field of it (${hint})`
        }
      ]
    }
    default:
      return [wrong(place, secret && issue._tag !== "InvalidType" ? "is not valid" : undefined, issue)]
  }
}

/**
 * Returns how far the input is from this variant: a field that the variant does not have costs most. If the input is
 * empty, all variants cost the same.
 */
const cost = (member: ReadonlyArray<Problem>): number => {
  if (member.every(({ kind }) => kind === "missing")) return 0.5
  const misspelt = new Set(
    member.flatMap(({ field, kind }) => (kind === "unexpected" && field !== undefined ? [field] : []))
  )
  const costs = member.map(({ field, kind }) => {
    if (kind === "unexpected") return field === undefined ? 10 : 1
    if (kind === "missing") return field !== undefined && misspelt.has(field) ? 0 : 1
    return 1
  })
  return costs.reduce<number>((sum, each) => sum + each, 0)
}

/** Returns true if an error about credentials may name this field. */
const isNameable = (name: string, known: ReadonlyArray<string>): boolean =>
  known.includes(name) ||
  (/^[A-Za-z_-]+$/.test(name) && resembled(name, known) !== undefined) ||
  inCommonUse.has(name.toLowerCase().replaceAll(/[_-]/g, ""))

const wrong = (place: Place, text: string | undefined, issue: SchemaIssue.Issue): Problem => {
  const explanation = text ?? lowerFirst(oneLine(format(issue)))
  const { path } = place
  return {
    kind: "wrong",
    text: path === "" ? explanation : `${path}${text === undefined ? ":" : ""} ${explanation}`,
    path
  }
}

/** Leaves out a field that is missing only because its name is misspelt. */
const withoutMisspelt = (found: ReadonlyArray<Problem>): ReadonlyArray<Problem> => {
  const misspelt = new Set(
    found.flatMap(({ field, kind }) => (kind === "unexpected" && field !== undefined ? [field] : []))
  )
  return found.filter(({ field, kind }) => kind !== "missing" || field === undefined || !misspelt.has(field))
}

const sentence = (found: ReadonlyArray<Problem>): string =>
  [...new Set(withoutMisspelt(found).map(({ text }) => text))].join("; ")

const isHidden = (path: string): boolean => path.includes("…")

interface Options {
  /** True for credentials. */
  readonly secret: boolean
}

const root: Place = { path: "", names: [] }

/** Explains the problems in one line. */
export const explain = (issue: SchemaIssue.Issue, { secret }: Options): string =>
  sentence(problems(issue, root, secret))

/** Explains the problems field by field. If there are several nearest variants, the fields of all are included. */
export const fieldErrors = (place: string, issue: SchemaIssue.Issue, { secret }: Options): ReadonlyArray<FieldError> =>
  withoutMisspelt(problems(issue, root, secret))
    .flatMap((found) => found.variants ?? [found])
    .map(({ path = "", text }) =>
      path === "" || isHidden(path) ? { place, message: text } : { place, field: path, message: text }
    )

/** Explains why the config or the credentials of an integration can't be used. */
export const notValid = (
  place: "config" | "credentials",
  domain: string,
  { issue }: Schema.SchemaError
): UsageError => {
  const options = { secret: place === "credentials" }
  return new UsageError({
    message: `the ${place} of ${domain} ${place === "config" ? "is" : "are"} not valid: ${explain(issue, options)}`,
    errors: fieldErrors(place, issue, options)
  })
}
