/** The fields of a form for a JSON Schema (see contract/Form.ts), and the choice of a variant. */
import { useId } from "preact/hooks"
import type { FormField, Shape, Values } from "../contract/Form.ts"
import { Field } from "./Components.tsx"

interface FieldsProps {
  readonly shape: Shape
  readonly values: Values
  readonly errors: Values
  readonly onChange: (values: Values) => void
}

const hintOf = ({ description, example, kind }: FormField) => (
  <>
    {description}
    {kind === "list" ? " One a line." : null}
    {example === undefined || example === "…" || kind === "switch" || kind === "choice" ? null : (
      <>
        {" "}
        Like <code>{example.replaceAll("\n", ", ")}</code>
      </>
    )}
  </>
)

const Input = ({ errors, field, onChange, values }: FieldsProps & { readonly field: FormField }) => {
  const { isRequired, isSecret, kind, name, options, title } = field
  const value = values[name] ?? ""
  const change = (next: string) => onChange({ ...values, [name]: next })
  return (
    <Field
      label={`${title}${isRequired ? "" : " (optional)"}`}
      error={errors[name] === undefined ? undefined : `${title} ${errors[name]}`}
      hint={hintOf(field)}
    >
      {(attributes) => {
        const common = { ...attributes, required: isRequired }
        switch (kind) {
          case "switch":
          case "choice":
            return (
              <select {...common} value={value} onChange={(event) => change(event.currentTarget.value)}>
                <option value="">{isRequired ? "Choose…" : "Default"}</option>
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
            // In a one-line field, a key of several lines would lose its line ends.
            return isSecret && /key$/i.test(name) ? (
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
                type={isSecret ? "password" : "text"}
                inputMode={kind === "number" ? "decimal" : undefined}
                autocomplete={isSecret ? "new-password" : "off"}
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

/** Shows the fields. Advanced ones are collapsed, unless one of them has a value or an error. */
export const SchemaFields = (props: FieldsProps) => {
  const { errors, shape, values } = props
  const asked = shape.fields.filter(({ constant, isRequired }) => constant === undefined || !isRequired)
  const advanced = asked.filter(({ isAdvanced }) => isAdvanced)
  const isOpen = advanced.some(({ name }) => (values[name] ?? "") !== "" || errors[name] !== undefined)
  return (
    <>
      {asked.map((field) => (field.isAdvanced ? null : <Input key={field.name} {...props} field={field} />))}
      {advanced.length === 0 ? null : (
        <details open={isOpen}>
          <summary>Advanced settings ({advanced.length})</summary>
          {advanced.map((field) => (
            <Input key={field.name} {...props} field={field} />
          ))}
        </details>
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

/** Lets a person choose one of several variants. */
export const ShapeChooser = ({ chosen, legend, onChoose, shapes }: ChooserProps) => {
  const name = useId()
  if (shapes.length < 2) return null
  return (
    <fieldset>
      <legend>{legend}</legend>
      {shapes.map((shape, index) => (
        <label class="choice" key={shape.title}>
          <input type="radio" name={name} checked={index === chosen} onChange={() => onChoose(index)} />
          <span>{shape.title}</span>
        </label>
      ))}
    </fieldset>
  )
}
