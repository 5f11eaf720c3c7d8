import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
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
