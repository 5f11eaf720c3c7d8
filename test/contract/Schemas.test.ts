import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { field, jsonSchema } from "../../src/contract/Field.ts"
import { make } from "../../src/contract/Integration.ts"
import { IntegrationError, Unauthorized } from "../../src/contract/IntegrationError.ts"
import { integration as ftp } from "../../src/integrations/Ftp.ts"
import { integration as gmail } from "../../src/integrations/Gmail.ts"
import { integration as gmailDomain } from "../../src/integrations/GmailDomain.ts"
import { integration as slack } from "../../src/integrations/Slack.ts"

const Required = Schema.Struct({ required: Schema.Array(Schema.String), additionalProperties: Schema.Literal(false) })

class Strange {
  readonly _tag = "Strange"
}

describe("what config and credentials look like, as JSON Schema", () => {
  it("is told of each integration, with its fields and no others", () => {
    for (const { configSchema, credentialsSchema, domain } of [ftp, gmail, slack]) {
      for (const schema of [configSchema, credentialsSchema]) {
        assert.strictEqual(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", domain)
        assert.isTrue("type" in schema || "anyOf" in schema || "$ref" in schema, JSON.stringify(schema))
      }
    }
    assert.strictEqual(slack.configSchema["additionalProperties"], false)
    const [rotating, lasting] = Schema.decodeUnknownSync(Schema.Array(Required))(slack.credentialsSchema["anyOf"])
    assert.deepStrictEqual(rotating?.required, ["clientId", "refreshToken"])
    assert.deepStrictEqual(lasting, { required: ["token"], additionalProperties: false })
    assert.include(JSON.stringify(gmail.configSchema), '"rootUrl":{"type":"string"')
  })

  it("says of each field what it is, and of secrets that they are", () => {
    const Property = Schema.Struct({
      title: Schema.NonEmptyString,
      description: Schema.NonEmptyString,
      writeOnly: Schema.optionalKey(Schema.Boolean)
    })
    const Fields = Schema.Struct({ properties: Schema.Record(Schema.String, Property) })
    const decode = Schema.decodeUnknownSync(Schema.Union([Schema.Struct({ anyOf: Schema.Array(Fields) }), Fields]))
    for (const { configSchema, credentialsSchema, domain } of [ftp, gmail, gmailDomain, slack]) {
      for (const schema of [configSchema, credentialsSchema]) {
        const found = decode(schema)
        for (const { properties } of "anyOf" in found ? found.anyOf : [found]) {
          for (const [name, { writeOnly }] of Object.entries(properties)) {
            const isSecret = /secret|token|password|passphrase|privateKey/i.test(name)
            assert.strictEqual(writeOnly ?? false, isSecret, `${domain}: ${name}`)
          }
        }
      }
    }
  })

  it("says of a field what its description says, in each variant, and nothing else", () => {
    const about = { title: "A title", description: "Its effect." }
    const Key = Schema.Struct({
      key: field(Schema.Redacted(Schema.String), { ...about, example: "k3y", isInternal: true }),
      plain: Schema.Redacted(Schema.String)
    })
    const Host = Schema.Struct({
      host: field(Schema.optionalKey(Schema.String), { ...about, isAdvanced: true }),
      port: field(Schema.Boolean, { ...about, isAdvanced: false, isInternal: false }),
      note: Schema.String
    })
    const key = {
      key: { type: "string", ...about, examples: ["k3y"], writeOnly: true, internal: true },
      plain: { type: "string", writeOnly: true }
    }
    const host = {
      host: { type: "string", ...about, advanced: true },
      port: { type: "boolean", ...about },
      note: { type: "string" }
    }
    assert.deepStrictEqual(jsonSchema(Key)["properties"], key)
    assert.deepStrictEqual(jsonSchema(Host)["properties"], host)
    const { anyOf } = jsonSchema(Schema.Union([Key, Schema.String, Host]))
    assert.deepStrictEqual(
      (anyOf as ReadonlyArray<Schema.JsonObject>).map(({ properties }) => properties),
      [key, undefined, host]
    )
    // A schema that is used by its name is defined beside the others.
    const Named = Schema.Struct({ a: Schema.String }).annotate({ identifier: "Named" })
    const named = jsonSchema(Schema.Struct({ one: Named, other: Named }))
    assert.deepStrictEqual(Object.keys(named["$defs"] ?? {}), ["Named"])
    assert.notProperty(jsonSchema(Host), "$defs")
    assert.notProperty(jsonSchema(Schema.String), "properties")
  })

  it("accepts anything for a field that JSON Schema can't express, and the integration still works", () => {
    const integration = make({
      domain: "strange",
      config: Schema.Struct({ strange: Schema.optionalKey(Schema.instanceOf(Strange)) }),
      credentials: Schema.Struct({}),
      checkpoint: Schema.String,
      scope: [],
      quota: () => ({ unitsPerMinute: 60 }),
      open: () => Effect.fail(new IntegrationError({ reason: new Unauthorized({ message: "never" }) }))
    })
    assert.isString(integration.configSchema["$schema"])
    assert.isUndefined(integration.signIn)
  })
})
