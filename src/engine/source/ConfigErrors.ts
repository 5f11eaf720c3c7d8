/**
 * Explains the errors of a config or of credentials in one line that names the fields.
 *
 * The line repeats no values. It names all fields of a config, but of credentials only fields that the schema expects:
 * if somebody swapped key and value, the key is the secret.
 */
import * as SchemaIssue from "effect/SchemaIssue"
import type * as SchemaAST from "effect/SchemaAST"
import { oneLine } from "../SafeText.ts"

interface Problem {
  readonly kind: "missing" | "unexpected" | "wrong"
  readonly text: string
}

interface Place {
  readonly path: string
  /** Field names that may be shown; undefined if all may. */
  readonly known: ReadonlySet<PropertyKey> | undefined
}

const namesOf = (ast: SchemaAST.AST): ReadonlyArray<string> =>
  ast._tag === "Objects" ? ast.propertySignatures.map((property) => String(property.name)) : []

const format = SchemaIssue.makeFormatterDefault()

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1)

// The form of a field name. Other keys may be misplaced values.
const plain = /^[A-Za-z][A-Za-z0-9_]{0,40}$/

const problems = (issue: SchemaIssue.Issue, place: Place, secret: boolean): ReadonlyArray<Problem> => {
  switch (issue._tag) {
    case "Pointer": {
      const path = issue.path.reduce<string>((parent, key) => {
        if (typeof key === "number") return `${parent}[${key}]`
        const shown = (place.known?.has(key) ?? true) && plain.test(String(key)) ? String(key) : "…"
        return parent === "" ? shown : `${parent}.${shown}`
      }, place.path)
      return problems(issue.issue, { path, known: undefined }, secret)
    }
    case "Composite": {
      const known = secret ? new Set(namesOf(issue.ast)) : undefined
      return issue.issues.flatMap((each) => problems(each, { path: place.path, known }, secret))
    }
    case "AnyOf": {
      if (issue.issues.length === 0) return [wrong(place, undefined, issue)]
      const members = issue.issues.map((each) => problems(each, place, secret))
      const cost = (member: ReadonlyArray<Problem>) => member.filter(({ kind }) => kind === "unexpected").length
      const least = Math.min(...members.map(cost))
      const nearest = members.filter((member) => cost(member) === least)
      const text = nearest.map(sentence).join(", or ")
      return [
        { kind: nearest.every((member) => member.every(({ kind }) => kind === "missing")) ? "missing" : "wrong", text }
      ]
    }
    case "Filter":
      return issue.issue._tag === "InvalidValue"
        ? [wrong(place, secret ? "is not valid" : undefined, issue)]
        : problems(issue.issue, place, secret)
    case "Encoding":
      return problems(issue.issue, place, secret)
    case "MissingKey":
      return [{ kind: "missing", text: `${place.path} is missing` }]
    case "UnexpectedKey":
      return [
        {
          kind: "unexpected",
          text:
            secret || place.path.endsWith("…")
              ? `it has a field that is not one of ${namesOf(issue.ast).join(", ")}`
              : `${place.path} is not a field of it (${namesOf(issue.ast).join(", ")})`
        }
      ]
    default:
      return [wrong(place, secret && issue._tag !== "InvalidType" ? "is not valid" : undefined, issue)]
  }
}

const wrong = (place: Place, text: string | undefined, issue: SchemaIssue.Issue): Problem => {
  const said = text ?? lowerFirst(oneLine(format(issue)))
  return { kind: "wrong", text: place.path === "" ? said : `${place.path}${text === undefined ? ":" : ""} ${said}` }
}

const sentence = (found: ReadonlyArray<Problem>): string => [...new Set(found.map(({ text }) => text))].join("; ")

/** The problems in one line. `secret` for credentials. */
export const explain = (issue: SchemaIssue.Issue, options: { readonly secret: boolean }): string =>
  sentence(problems(issue, { path: "", known: undefined }, options.secret))
