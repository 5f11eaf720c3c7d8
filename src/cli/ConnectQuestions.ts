/** The questions of `idem connect` on a terminal: the source, the name, the config, and how to log in. */
import * as Prompt from "effect/cli/Prompt"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Integrations } from "../engine/source/Integrations.ts"
import type { Integration } from "../contract/Integration.ts"
import * as Form from "../contract/Form.ts"
import { ApiClient } from "../http/client/ApiClient.ts"
import { nameProblem } from "../http/Parameters.ts"
import * as AppServices from "./AppServices.ts"
import * as Arguments from "./Arguments.ts"
import * as ConnectHelp from "./ConnectHelp.ts"
import { Output } from "./Output.ts"
import * as SignIn from "./SignIn.ts"

interface Answers {
  readonly domain: string
  readonly name: string
  readonly config: Schema.Json
  /** Undefined for a sign-in with the client of the settings. */
  readonly credentials: Schema.Json | undefined
  readonly signIn: boolean
}

const decodeJson = Schema.decodeUnknownEffect(Schema.Json)

const labelOf = ({ example, isRequired, isSecret, kind, title }: Form.FormField): string => {
  const like = example === undefined || isSecret || kind === "json" ? "" : `, like ${example.replaceAll("\n", ",")}`
  const how = kind === "list" ? ", separated by commas" : kind === "json" || isSecret ? ", or @FILE" : ""
  return `${title} (${isRequired ? "required" : "Enter for the default"}${how}${like})`
}

/** Asks for one field until its text is valid. Returns undefined if it is left empty. */
const askField = Effect.fnUntraced(function* (field: Form.FormField) {
  if (field.constant !== undefined) return field.isRequired ? field.constant : undefined
  const { note } = yield* Output
  if (field.description !== undefined) yield* note(`  ${field.description}`)
  if (field.kind === "choice") {
    const choices = field.options.map((option) => ({ title: option, value: option }))
    return yield* Prompt.Select<string | undefined>({
      message: field.title,
      choices: field.isRequired ? choices : [{ title: "the default", value: undefined }, ...choices]
    })
  }
  const isFile = (text: string) => text.startsWith("@") && (field.kind === "json" || field.isSecret)
  const textOf = (text: string) => (field.kind === "list" ? text.replaceAll(",", "\n") : text)
  const validate = (text: string) => {
    if (text.trim() === "") return field.isRequired ? Effect.fail(`${field.title} is needed`) : Effect.succeed(text)
    if (isFile(text)) return Effect.succeed(text)
    const found = Form.readField(field, textOf(text))
    return "error" in found ? Effect.fail(`${field.title} ${found.error}`) : Effect.succeed(text)
  }
  const text = field.isSecret
    ? Redacted.value(yield* Prompt.Password({ message: labelOf(field), validate }))
    : yield* Prompt.String({ message: labelOf(field), validate })
  if (text.trim() === "") return undefined
  if (isFile(text) && field.kind === "json") return yield* Arguments.json(field.name, Redacted.make(text))
  if (isFile(text) && field.name !== "privateKey") {
    return (yield* Arguments.readText(field.name, text)).replace(/\r?\n$/, "")
  }
  const found = Form.readField(field, textOf(text))
  return "error" in found ? undefined : found.json
})

const askFields = Effect.fnUntraced(function* (fields: ReadonlyArray<Form.FormField>) {
  const json: Record<string, unknown> = {}
  for (const field of fields) {
    const value = yield* askField(field)
    if (value !== undefined) json[field.name] = value
  }
  return json
})

const askConfig = Effect.fnUntraced(function* (integration: Integration) {
  const fields = Form.shapesOf(integration.configSchema)[0]?.fields ?? []
  const needed = yield* askFields(fields.filter(({ isRequired }) => isRequired))
  const usual = fields.filter(({ isAdvanced, isRequired }) => !isRequired && !isAdvanced)
  const advanced = fields.filter(({ isAdvanced, isRequired }) => !isRequired && isAdvanced)
  if (usual.length === 0 && advanced.length === 0) return needed
  const more = yield* Prompt.Select<"none" | "usual" | "all">({
    message: "What to mirror",
    choices: [
      { title: "everything, with the default settings", value: "none" },
      ...(usual.length === 0
        ? []
        : [{ title: `choose: ${usual.map(({ title }) => title.toLowerCase()).join(", ")}`, value: "usual" as const }]),
      { title: "go through all settings", value: "all" }
    ]
  })
  const asked = more === "none" ? [] : more === "usual" ? usual : [...usual, ...advanced]
  return { ...needed, ...(yield* askFields(asked)) }
})

const askCredentials = Effect.fnUntraced(function* (integration: Integration, config: Schema.Json) {
  const { note } = yield* Output
  const shapes = Form.shapesOf(integration.credentialsSchema)
  const client = integration.signIn === undefined ? undefined : yield* SignIn.clientOfSettings(integration, config)
  const choices = [
    ...(integration.signIn === undefined ? [] : [{ title: "Sign in with the browser", value: "sign in" as const }]),
    ...shapes.map((shape) => ({ title: shape.title, value: shape }))
  ]
  const [only] = choices
  const chosen =
    choices.length > 1
      ? yield* Prompt.Select<"sign in" | Form.Shape>({ message: "How to log in", choices })
      : only?.value
  if (chosen === undefined) return { credentials: {}, signIn: false }
  if (chosen === "sign in" && client !== undefined) return { credentials: undefined, signIn: true }
  const guide = ConnectHelp.guideOf(integration)
  if (guide.length > 0) yield* note(["Where credentials come from:", ...guide.map((line) => `  ${line}`)].join("\n"))
  if (chosen !== "sign in") return { credentials: yield* askFields(chosen.fields), signIn: false }
  const isPublic = integration.signIn?.publicClients === true
  const text = { kind: "text", description: undefined, example: undefined, options: [], constant: undefined } as const
  const credentials = yield* askFields([
    { ...text, name: "clientId", title: "Client ID", isRequired: true, isAdvanced: false, isSecret: false },
    { ...text, name: "clientSecret", title: "Client secret", isRequired: !isPublic, isAdvanced: false, isSecret: true }
  ])
  return { credentials, signIn: true }
})

const askDomain = Effect.fnUntraced(function* () {
  const integrations = yield* Integrations
  const known = yield* Effect.forEach(yield* AppServices.domains, (domain) => integrations.get(domain))
  return yield* Prompt.Select({
    message: "Which source",
    choices: known.map(({ domain, summary, title }) => ({
      title: summary === undefined ? title : `${title}: ${summary}`,
      value: domain
    }))
  })
})

/** Asks for everything that was not given. */
export const ask = Effect.fnUntraced(function* (given: {
  readonly domain: Option.Option<string>
  readonly name: Option.Option<string>
}) {
  const integrations = yield* Integrations
  const domain = given.domain._tag === "Some" ? given.domain.value : yield* askDomain()
  const integration = yield* integrations.get(domain)
  const { connections } = yield* AppServices.ask(ApiClient.use((api) => api.connections.list({})))
  const taken = new Set(connections.map(({ name }) => name))
  const isUsable = (name: string) => {
    const problem = nameProblem(name) ?? (taken.has(name) ? "a connection with this name exists already" : undefined)
    return problem === undefined ? Effect.succeed(name) : Effect.fail(problem)
  }
  const suggested = taken.has(domain) ? {} : { default: domain }
  const name =
    given.name._tag === "Some"
      ? given.name.value
      : yield* Prompt.String({ message: "A name for the connection", ...suggested, validate: isUsable })
  const config = yield* decodeJson(yield* askConfig(integration))
  const { credentials, signIn } = yield* askCredentials(integration, config)
  return {
    domain,
    name,
    config,
    credentials: credentials === undefined ? undefined : yield* decodeJson(credentials),
    signIn
  } satisfies Answers
})
