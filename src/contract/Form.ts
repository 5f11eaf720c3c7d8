/**
 * The fields of a JSON Schema of a config or of credentials, as a person fills them in: on the dashboard and on the
 * command line. Each field is a text; `read` turns the texts into JSON. This module runs in a browser too.
 */
type Json = Readonly<Record<string, unknown>>

export interface FormField {
  readonly name: string
  readonly title: string
  readonly description: string | undefined
  /** An example value, as a person would type it. */
  readonly example: string | undefined
  readonly isRequired: boolean
  readonly isAdvanced: boolean
  readonly isSecret: boolean
  readonly kind: "text" | "number" | "switch" | "choice" | "list" | "json"
  readonly options: ReadonlyArray<string>
  /** The only value that the field can have. */
  readonly constant: unknown
}

/** A variant of the form: a schema of an object. */
export interface Shape {
  readonly title: string
  readonly fields: ReadonlyArray<FormField>
}

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

const textsOf = (value: unknown): ReadonlyArray<string> =>
  Array.isArray(value) ? value.filter((each): each is string => typeof each === "string") : []

const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)

const kindOf = (schema: Json): FormField["kind"] => {
  const { anyOf, enum: choices, items, type } = schema
  if (textsOf(choices).length > 0) return "choice"
  if (Array.isArray(anyOf) && anyOf.some((each) => isObject(each) && each["type"] === "string")) return "text"
  if (type === "string") return "text"
  if (type === "number" || type === "integer") return "number"
  if (type === "boolean") return "switch"
  if (type === "array" && isObject(items) && items["type"] === "string") return "list"
  return "json"
}

/** Turns `includeSpamTrash` into `Include spam trash`. */
const words = (name: string): string => {
  const spaced = name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase()
  return `${spaced.charAt(0).toUpperCase()}${spaced.slice(1)}`.replace(/\b(url|id|api)\b/gi, (word) =>
    word.toUpperCase()
  )
}

const typed = (kind: FormField["kind"], value: unknown): string => {
  if (kind === "list" && Array.isArray(value)) return value.join("\n")
  return typeof value === "string" ? value : JSON.stringify(value)
}

const fieldsOf = (schema: Json): ReadonlyArray<FormField> => {
  const required = new Set(textsOf(schema["required"]))
  const properties = isObject(schema["properties"]) ? schema["properties"] : {}
  return Object.entries(properties).flatMap(([name, each]) => {
    if (!isObject(each) || each["internal"] === true) return []
    const kind = kindOf(each)
    const examples = each["examples"]
    const choices = each["enum"]
    return [
      {
        name,
        title: textOf(each["title"]) ?? words(name),
        description: textOf(each["description"]),
        example: Array.isArray(examples) && examples.length > 0 ? typed(kind, examples[0]) : undefined,
        isRequired: required.has(name),
        isAdvanced: each["advanced"] === true,
        isSecret: each["writeOnly"] === true,
        kind,
        options: textsOf(choices),
        constant: Array.isArray(choices) && choices.length === 1 ? (choices[0] as unknown) : undefined
      }
    ]
  })
}

/** Returns the variants of the form for this schema; empty if a form cannot represent the schema. */
export const shapesOf = (schema: unknown): ReadonlyArray<Shape> => {
  if (!isObject(schema)) return []
  const members = Array.isArray(schema["anyOf"]) ? schema["anyOf"].filter((each) => isObject(each)) : [schema]
  return members.flatMap((member) => {
    const fields = fieldsOf(member)
    if (fields.length === 0) return []
    const required = fields.filter((each) => each.isRequired)
    const title =
      textOf(member["title"]) ?? (required.length === 0 ? fields : required).map((each) => each.title).join(", ")
    return [{ title, fields }]
  })
}

/** The text of each field. */
export type Values = Readonly<Record<string, string>>

/** Returns the texts of the fields for stored JSON. */
export const valuesOf = ({ fields }: Shape, stored: unknown): Values =>
  Object.fromEntries(
    fields.flatMap(({ kind, name }) => {
      const value = isObject(stored) ? stored[name] : undefined
      return value === undefined || value === null ? [] : [[name, typed(kind, value)]]
    })
  )

/** Parses one field's text: returns its JSON, or what is wrong with the text. */
export const readField = (field: FormField, text: string): { readonly json: unknown } | { readonly error: string } => {
  const { kind, options } = field
  switch (kind) {
    case "number": {
      const number = Number(text)
      return Number.isFinite(number) && text.trim() !== "" ? { json: number } : { error: "must be a number" }
    }
    case "switch":
      return /^(true|yes|y)$/i.test(text.trim())
        ? { json: true }
        : /^(false|no|n)$/i.test(text.trim())
          ? { json: false }
          : { error: "must be yes or no" }
    case "choice":
      return options.includes(text.trim()) ? { json: text.trim() } : { error: `must be one of ${options.join(", ")}` }
    case "list":
      return {
        json: text
          .split("\n")
          .map((line) => line.trim())
          .filter((line) => line !== "")
      }
    case "json":
      try {
        return { json: JSON.parse(text) as unknown }
      } catch {
        return { error: `must be JSON, like ${field.example ?? '{"name": "value"}'}` }
      }
    default:
      return { json: text }
  }
}

/** Parses the texts of all fields: returns the JSON, and the errors by field. Empty fields are left out. */
export const read = ({ fields }: Shape, values: Values): { readonly json: Json; readonly errors: Values } => {
  const json: Record<string, unknown> = {}
  const errors: Record<string, string> = {}
  for (const field of fields) {
    const text = values[field.name] ?? ""
    if (field.constant !== undefined && field.isRequired) json[field.name] = field.constant
    else if (text.trim() === "") {
      if (field.isRequired) errors[field.name] = "is needed"
    } else {
      const found = readField(field, text)
      if ("error" in found) errors[field.name] = found.error
      else json[field.name] = found.json
    }
  }
  return { json, errors }
}

/** An error of a server's problem document, with the path of its field: `host`, `labels[1]`. */
export interface FieldError {
  readonly place: string
  readonly field?: string
  readonly message: string
}

/** Returns the message about a field of this place, or about a value in that field. */
export const errorOf = (errors: ReadonlyArray<FieldError>, place: string, name: string): string | undefined =>
  errors.find((error) => error.place === place && error.field?.split(/[.[]/)[0] === name)?.message

/** Returns the messages about the fields of this place, by field. */
export const errorsOf = (errors: ReadonlyArray<FieldError>, place: string, { fields }: Shape): Values =>
  Object.fromEntries(
    fields.flatMap(({ name }) => {
      const message = errorOf(errors, place, name)
      return message === undefined ? [] : [[name, message]]
    })
  )
