/** The text of `idem connect DOMAIN --help`: how to obtain credentials, and the fields of config and credentials. */
import type { Integration } from "../contract/Integration.ts"
import * as Form from "../contract/Form.ts"
import type { Style } from "./Output.ts"
import * as TextFormat from "./TextFormat.ts"

/** Returns the numbered steps of a sign-in on the command line. */
export const guideOf = ({ guide }: Integration): ReadonlyArray<string> => {
  if (guide === undefined) return []
  const steps = guide.steps.filter(({ on }) => on !== "dashboard").map(({ text }) => text)
  return [`At ${guide.url}`, ...steps.map((text, index) => `${index + 1}. ${text}`)]
}

const exampleOf = ({ example, kind }: Form.FormField): string => {
  if (example === undefined) return ""
  if (kind === "list") return JSON.stringify(example.split("\n"))
  return kind === "text" || kind === "choice" ? JSON.stringify(example) : example
}

const field = (each: Form.FormField): ReadonlyArray<string> => {
  const example = exampleOf(each)
  const needed = each.isRequired ? " (required)" : ""
  const options = each.kind === "choice" && each.options.length > 1 ? ` One of ${each.options.join(", ")}.` : ""
  return [
    `  ${each.name}${needed}  ${each.title}`,
    ...(each.description === undefined && options === "" ? [] : [`      ${each.description ?? ""}${options}`]),
    ...(example === "" ? [] : [`      Example: ${example}`])
  ]
}

/** Returns an object of the required fields, with their examples. */
const minimal = ({ fields }: Form.Shape): string => {
  const required = fields.filter(({ isRequired }) => isRequired)
  return JSON.stringify(
    Object.fromEntries(
      (required.length === 0 ? fields.slice(0, 2) : required).map((each) => [
        each.name,
        each.constant ?? (each.kind === "json" ? "…" : (each.example ?? "…"))
      ])
    )
  )
}

export const text = (integration: Integration, style: Style): string => {
  const { domain, signIn, summary, title } = integration
  const heading = (words: string) => style.bold(words)
  const [config] = Form.shapesOf(integration.configSchema)
  const credentials = Form.shapesOf(integration.credentialsSchema)
  const guide = guideOf(integration)
  const example = credentials[0]
  return [
    "",
    heading(`${title.toUpperCase()}${summary === undefined ? "" : `: ${summary}`}`),
    ...(guide.length === 0 ? [] : ["", heading("WHERE CREDENTIALS COME FROM"), ...guide.map((line) => `  ${line}`)]),
    "",
    heading("FIELDS OF --credentials"),
    ...(signIn === undefined
      ? []
      : [
          `  ${style.bold("Sign in with the browser:")} only the OAuth client; Idem gets the rest`,
          `      Example: {"clientId": "…", "clientSecret": "…"}`
        ]),
    ...credentials.flatMap((shape, index) => [
      ...(credentials.length < 2 && signIn === undefined
        ? []
        : [`  ${style.bold(`${index > 0 || signIn !== undefined ? "Or: " : ""}${shape.title}`)}`]),
      ...shape.fields.flatMap(field)
    ]),
    ...(config === undefined ? [] : ["", heading("FIELDS OF --config"), ...config.fields.flatMap(field)]),
    ...(example === undefined
      ? []
      : [
          "",
          heading("FOR EXAMPLE"),
          `  idem connect ${domain} --name me${
            config?.fields.some(({ isRequired }) => isRequired) === true
              ? ` --config ${TextFormat.shellWord(minimal(config))}`
              : ""
          } --credentials @credentials.json`,
          `  credentials.json: ${signIn === undefined ? minimal(example) : '{"clientId": "…", "clientSecret": "…"}'}`
        ])
  ].join("\n")
}
