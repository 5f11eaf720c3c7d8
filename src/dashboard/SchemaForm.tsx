/**
 * A form for a JSON Schema of a config or of credentials: texts, numbers, switches, choices, lists of texts. Other
 * fields are edited as JSON. Empty fields are left out.
 */
import { useId } from "preact/hooks"
import { Field } from "./Components.tsx"

type Json = Readonly<Record<string, unknown>>

interface Property {
  readonly name: string
  readonly required: boolean
  readonly kind: "text" | "number" | "switch" | "choice" | "list" | "json"
  readonly options: ReadonlyArray<string>
  readonly description: string | undefined
}

/** One variant of the form: a schema of an object. */
export interface Shape {
  readonly name: string
  readonly properties: ReadonlyArray<Property>
}

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

const textsOf = (value: unknown): ReadonlyArray<string> =>
  Array.isArray(value) ? value.filter((each): each is string => typeof each === "string") : []

const kindOf = (schema: Json): Property["kind"] => {
  const { anyOf, enum: choices, items, type } = schema
  if (textsOf(choices).length > 0) return "choice"
  if (Array.isArray(anyOf) && anyOf.some((each) => isObject(each) && each["type"] === "string")) return "text"
  if (type === "string") return "text"
  if (type === "number" || type === "integer") return "number"
  if (type === "boolean") return "switch"
  if (type === "array" && isObject(items) && items["type"] === "string") return "list"
  return "json"
}

const propertiesOf = (schema: Json): ReadonlyArray<Property> => {
  const required = new Set(textsOf(schema["required"]))
  const properties = isObject(schema["properties"]) ? schema["properties"] : {}
  return Object.entries(properties).flatMap(([name, each]) =>
    isObject(each)
      ? [
          {
            name,
            required: required.has(name),
            kind: kindOf(each),
            options: textsOf(each["enum"]),
            description: typeof each["description"] === "string" ? each["description"] : undefined
          }
        ]
      : []
  )
}

/** The variants of the form for this schema, the shortest first. Empty if a form cannot represent the schema. */
export const shapesOf = (schema: unknown): ReadonlyArray<Shape> => {
  if (!isObject(schema)) return []
  const members = Array.isArray(schema["anyOf"]) ? schema["anyOf"].filter((each) => isObject(each)) : [schema]
  const shapes = members.flatMap((member) => {
    const properties = propertiesOf(member)
    if (properties.length === 0) return []
    const required = properties.filter((each) => each.required)
    return [
      { name: (required.length === 0 ? properties : required).map(({ name }) => words(name)).join(", "), properties }
    ]
  })
  const needed = ({ properties }: Shape) => properties.filter((each) => each.required).length
  return shapes.toSorted((one, other) => needed(one) - needed(other))
}

/** `includeSpamTrash` as `Include spam trash`. */
const words = (name: string): string => {
  const spaced = name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase()
  return `${spaced.charAt(0).toUpperCase()}${spaced.slice(1)}`.replace(/\b(url|id|api)\b/gi, (word) =>
    word.toUpperCase()
  )
}

/** The text of each field. */
export type Values = Readonly<Record<string, string>>

/** The texts of the fields for stored JSON. */
export const valuesOf = (shape: Shape, stored: unknown): Values =>
  Object.fromEntries(
    shape.properties.flatMap(({ kind, name }) => {
      const value = isObject(stored) ? stored[name] : undefined
      if (value === undefined || value === null) return []
      if (kind === "list" && Array.isArray(value)) return [[name, value.join("\n")]]
      return [[name, typeof value === "string" ? value : JSON.stringify(value)]]
    })
  )

/** The JSON of the fields, or the errors by field. */
export const read = (shape: Shape, values: Values): { readonly json: Json; readonly errors: Values } => {
  const json: Record<string, unknown> = {}
  const errors: Record<string, string> = {}
  for (const { kind, name, required } of shape.properties) {
    const text = values[name] ?? ""
    if (text.trim() === "") {
      if (required) errors[name] = "is needed"
      continue
    }
    switch (kind) {
      case "number":
        if (Number.isFinite(Number(text))) json[name] = Number(text)
        else errors[name] = "must be a number"
        break
      case "switch":
        json[name] = text === "true"
        break
      case "list":
        json[name] = text
          .split("\n")
          .map((line) => line.trim())
          .filter((line) => line !== "")
        break
      case "json":
        try {
          json[name] = JSON.parse(text)
        } catch {
          errors[name] = 'must be JSON, like {"unitsPerMinute": 6000}'
        }
        break
      default:
        json[name] = text
    }
  }
  return { json, errors }
}

/** The parts of a server's message by the field that they name. */
export const errorsIn = (message: string, shape: Shape): Values => {
  const parts = message.replace(/^.*? (?:is|are) not right: /s, "").split(/; |, or /)
  return Object.fromEntries(
    shape.properties.flatMap(({ name }) => {
      const part = parts.find((each) => new RegExp(`^${name}(?=[\\s.:[]|$)`).test(each))
      return part === undefined ? [] : [[name, part.slice(name.length).replace(/^: /, "").trim()]]
    })
  )
}

const open = /^(username|clientId|knownHost|expiresAt)$/

interface FieldsProps {
  readonly shape: Shape
  readonly values: Values
  readonly errors: Values
  /** True for credentials: the fields hide their text. */
  readonly secret: boolean
  readonly onChange: (values: Values) => void
}

const Input = ({ errors, onChange, property, secret, values }: FieldsProps & { readonly property: Property }) => {
  const { kind, name, options, required } = property
  const value = values[name] ?? ""
  const change = (next: string) => onChange({ ...values, [name]: next })
  return (
    <Field
      label={`${words(name)}${required ? "" : " (optional)"}`}
      error={errors[name]}
      hint={property.description ?? (kind === "list" ? "One a line" : kind === "json" ? "As JSON" : undefined)}
    >
      {(attributes) => {
        const common = { ...attributes, required }
        switch (kind) {
          case "switch":
          case "choice":
            return (
              <select {...common} value={value} onChange={(event) => change(event.currentTarget.value)}>
                <option value="">{required ? "Choose…" : "As usual"}</option>
                {(kind === "switch" ? ["true", "false"] : options).map((option) => (
                  <option key={option} value={option}>
                    {kind === "switch" ? (option === "true" ? "Yes" : "No") : option}
                  </option>
                ))}
              </select>
            )
          case "list":
          case "json":
            return (
              <textarea
                {...common}
                rows={kind === "json" ? 3 : 2}
                spellcheck={false}
                value={value}
                onInput={(event) => change(event.currentTarget.value)}
              />
            )
          default:
            // A key of several lines would lose its line ends in a one-line field.
            return secret && /key$/i.test(name) ? (
              <textarea
                {...common}
                class="masked"
                rows={3}
                spellcheck={false}
                autocomplete="off"
                value={value}
                onInput={(event) => change(event.currentTarget.value)}
              />
            ) : (
              <input
                {...common}
                type={secret && !open.test(name) ? "password" : "text"}
                inputMode={kind === "number" ? "decimal" : undefined}
                autocomplete={secret ? "new-password" : "off"}
                spellcheck={false}
                value={value}
                onInput={(event) => change(event.currentTarget.value)}
              />
            )
        }
      }}
    </Field>
  )
}

/** The fields. If there are many, optional fields are folded away. */
export const SchemaFields = (props: FieldsProps) => {
  const { errors, shape, values } = props
  const first = shape.properties.filter(({ name, required }) => required || errors[name] !== undefined)
  const rest = shape.properties.filter((property) => !first.includes(property))
  const folded = rest.length > 3
  const more = rest.map((property) => <Input key={property.name} {...props} property={property} />)
  return (
    <>
      {first.map((property) => (
        <Input key={property.name} {...props} property={property} />
      ))}
      {folded ? (
        <details open={rest.some(({ name }) => (values[name] ?? "") !== "")}>
          <summary>More settings ({rest.length})</summary>
          {more}
        </details>
      ) : (
        more
      )}
    </>
  )
}

interface ChooserProps {
  readonly legend: string
  readonly shapes: ReadonlyArray<Shape>
  readonly chosen: number
  readonly onChoose: (index: number) => void
}

/** The choice between several variants. */
export const ShapeChooser = ({ chosen, legend, onChoose, shapes }: ChooserProps) => {
  const name = useId()
  if (shapes.length < 2) return null
  return (
    <fieldset>
      <legend>{legend}</legend>
      {shapes.map((shape, index) => (
        <label class="choice" key={shape.name}>
          <input type="radio" name={name} checked={index === chosen} onChange={() => onChoose(index)} />
          <span>{shape.name}</span>
        </label>
      ))}
    </fieldset>
  )
}
