/** Forms for JSON Schemas: their variants and fields, the values in them, and the errors of a server. */
import { assert, describe, it } from "@effect/vitest"
import * as Form from "../../src/contract/Form.ts"

/** The fields of a form with these properties. */
const fieldsOf = (properties: object, required: ReadonlyArray<string> = []) =>
  Form.shapesOf({ type: "object", properties, required })[0]?.fields ?? []

const shapeOf = (properties: object, required?: ReadonlyArray<string>): Form.Shape => ({
  title: "",
  fields: fieldsOf(properties, required)
})

const list = { type: "array", items: { type: "string" } }

describe("a form's field", () => {
  it("is of the kind that its schema describes, and takes JSON if there is no better kind", () => {
    const kinds: ReadonlyArray<readonly [Form.FormField["kind"], object]> = [
      ["text", { type: "string" }],
      ["text", { type: "string", enum: [] }],
      ["text", { anyOf: [null, { type: "number" }, { type: "string" }] }],
      ["number", { type: "number" }],
      ["number", { type: "integer", enum: [1, 2] }],
      ["switch", { type: "boolean" }],
      ["choice", { type: "string", enum: ["new", "all"] }],
      ["list", list],
      ["json", { type: "array" }],
      ["json", { type: "array", items: null }],
      ["json", { type: "array", items: { type: "number" } }],
      ["json", { type: "object", items: { type: "string" } }],
      ["json", { anyOf: [{ type: "number" }, { type: "null" }] }],
      ["json", { anyOf: "string" }],
      ["json", {}]
    ]
    for (const [kind, schema] of kinds)
      assert.strictEqual(fieldsOf({ a: schema })[0]?.kind, kind, JSON.stringify(schema))
  })

  it("has what its schema says about it, and is left out if the integration stores it itself", () => {
    const fields = fieldsOf(
      {
        host: { type: "string", title: "Server", description: "Its name.", examples: ["a.example", "b.example"] },
        password: { type: "string", writeOnly: true, examples: [] },
        port: { type: "integer", advanced: true, examples: [21] },
        kind: { type: "string", enum: ["ftp"] },
        mode: { type: "string", enum: ["new", "all"], title: 7, description: {} },
        hosts: { ...list, examples: [["a", "b"]] },
        token: { type: "string", internal: true },
        note: "no schema"
      },
      ["host"]
    )
    const none = { description: undefined, example: undefined, options: [], constant: undefined }
    const plain = { ...none, isRequired: false, isAdvanced: false, isSecret: false }
    assert.deepStrictEqual(fields, [
      {
        ...plain,
        name: "host",
        title: "Server",
        description: "Its name.",
        example: "a.example",
        isRequired: true,
        kind: "text"
      },
      { ...plain, name: "password", title: "Password", isSecret: true, kind: "text" },
      { ...plain, name: "port", title: "Port", isAdvanced: true, example: "21", kind: "number" },
      { ...plain, name: "kind", title: "Kind", kind: "choice", options: ["ftp"], constant: "ftp" },
      { ...plain, name: "mode", title: "Mode", kind: "choice", options: ["new", "all"] },
      { ...plain, name: "hosts", title: "Hosts", example: "a\nb", kind: "list" }
    ])
  })

  it("has its name in words as its title if its schema gives none", () => {
    const titles = {
      includeSpamTrash: "Include spam trash",
      rootUrl: "Root URL",
      clientId: "Client ID",
      slackApiUrl: "Slack API URL",
      idleTime: "Idle time",
      a: "A"
    }
    const properties = Object.fromEntries(Object.keys(titles).map((name) => [name, { type: "string" }]))
    assert.deepStrictEqual(Object.fromEntries(fieldsOf(properties).map(({ name, title }) => [name, title])), titles)
  })
})

describe("a form", () => {
  it("has a variant for each schema that has fields, named after what it needs", () => {
    const text = { type: "string" }
    const titlesOf = (schema: unknown) => Form.shapesOf(schema).map(({ title }) => title)
    const optional = { properties: { token: text, host: text } }
    assert.deepStrictEqual(
      titlesOf({
        anyOf: [{ ...optional, required: ["token"] }, { ...optional, title: "An app" }, optional, {}, "x", null, []]
      }),
      ["Token", "An app", "Token, Host"]
    )
    assert.deepStrictEqual(titlesOf({ ...optional, required: ["host", "token"] }), ["Token, Host"])
    assert.deepStrictEqual(titlesOf({ ...optional, required: "host" }), ["Token, Host"])
    for (const schema of [null, undefined, "text", [optional], {}, { properties: [text] }]) {
      assert.deepStrictEqual(Form.shapesOf(schema), [], JSON.stringify(schema))
    }
  })

  it("shows the stored values as texts, and reads the same values from them", () => {
    const shape = shapeOf({
      host: { type: "string" },
      port: { type: "number" },
      quota: { type: "object" },
      sizes: { type: "array", items: { type: "number" } },
      labels: list,
      spam: { type: "boolean" },
      note: { type: "string" }
    })
    const stored = { host: "a", port: 21, quota: { unitsPerMinute: 60 }, sizes: [1], labels: ["a", "b"], spam: false }
    const values = {
      host: "a",
      port: "21",
      quota: '{"unitsPerMinute":60}',
      sizes: "[1]",
      labels: "a\nb",
      spam: "false"
    }
    assert.deepStrictEqual(Form.valuesOf(shape, { ...stored, note: null, other: 1 }), values)
    assert.deepStrictEqual(Form.read(shape, values), { json: stored, errors: {} })
    // A value that does not fit its schema is shown as it is.
    assert.deepStrictEqual(Form.valuesOf(shape, { labels: "a" }), { labels: "a" })
    for (const none of [null, undefined, "text", ["a"]]) assert.deepStrictEqual(Form.valuesOf(shape, none), {})
  })

  it("reads each kind of field, without the spaces around its text, and says what is wrong", () => {
    const kinds = {
      number: { type: "number" },
      switch: { type: "boolean" },
      choice: { type: "string", enum: ["new", "all"] },
      list,
      json: { type: "object" },
      text: { type: "string" }
    }
    const shape = shapeOf(kinds)
    const read = (name: string, text: string) => {
      const { errors, json } = Form.read(shape, { [name]: text })
      return errors[name] ?? [json[name]]
    }
    const cases: ReadonlyArray<readonly [keyof typeof kinds, string, unknown]> = [
      ["number", " 2.5 ", 2.5],
      ["switch", " Yes ", true],
      ["switch", "y", true],
      ["switch", "TRUE", true],
      ["switch", " No ", false],
      ["switch", "n", false],
      ["switch", "false", false],
      ["choice", " all ", "all"],
      ["list", " a \n\n b\n", ["a", "b"]],
      ["json", ' {"a": 1} ', { a: 1 }],
      ["text", " a ", " a "]
    ]
    for (const [name, text, value] of cases) assert.deepStrictEqual(read(name, text), [value], `${name} ${text}`)
    const wrong: ReadonlyArray<readonly [keyof typeof kinds, string, string]> = [
      ["number", "many", "must be a number"],
      ["number", "Infinity", "must be a number"],
      ["switch", "maybe", "must be yes or no"],
      ["switch", "not", "must be yes or no"],
      ["switch", "oh no", "must be yes or no"],
      ["switch", "yesterday", "must be yes or no"],
      ["switch", "oh yes", "must be yes or no"],
      ["choice", "old", "must be one of new, all"],
      ["json", "{", 'must be JSON, like {"name": "value"}']
    ]
    for (const [name, text, error] of wrong) assert.strictEqual(read(name, text), error, `${name} ${text}`)
    const [quota] = fieldsOf({ quota: { type: "object", examples: [{ units: 1 }] } })
    assert(quota !== undefined)
    assert.deepStrictEqual(Form.readField(quota, "many"), { error: 'must be JSON, like {"units":1}' })
    const [port] = fieldsOf({ port: { type: "number" } })
    assert(port !== undefined)
    assert.deepStrictEqual(Form.readField(port, " "), { error: "must be a number" })
  })

  it("leaves out empty fields, asks for required ones, and fills in those with a single value", () => {
    const only = { type: "string", enum: ["ftp"] }
    const shape = shapeOf({ host: { type: "string" }, note: { type: "string" }, kind: only, mode: only }, [
      "host",
      "kind"
    ])
    assert.deepStrictEqual(Form.read(shape, { note: " ", host: " " }), {
      json: { kind: "ftp" },
      errors: { host: "is needed" }
    })
    assert.deepStrictEqual(Form.read(shape, { host: "a", mode: "ftp" }), {
      json: { host: "a", kind: "ftp", mode: "ftp" },
      errors: {}
    })
  })
})

it("a form's field has the error about it or about a value in it, of its own place", () => {
  const properties = { host: { type: "string" }, hosts: { type: "array" }, quota: { type: "object" } }
  const [shape] = Form.shapesOf({ type: "object", properties })
  assert.isDefined(shape)
  const errors = [
    { place: "credentials", field: "host", message: "of other credentials" },
    { place: "config", message: "hots is not a field of it" },
    { place: "config", field: "hosts[1]", message: "hosts[1]: expected string; not a host" },
    { place: "config", field: "quota.unitsPerMinute", message: "quota.unitsPerMinute is missing" }
  ]
  assert.deepStrictEqual(Form.errorsOf(errors, "config", shape), {
    hosts: "hosts[1]: expected string; not a host",
    quota: "quota.unitsPerMinute is missing"
  })
  assert.deepStrictEqual(Form.errorsOf(errors, "credentials", shape), { host: "of other credentials" })
})
