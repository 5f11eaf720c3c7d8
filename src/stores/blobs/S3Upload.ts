/** The upload of an object in parts, under a temporary key that is never read, until its own key is known. */
import * as Effect from "effect/Effect"
import * as S3Client from "./S3Client.ts"
import { element, S3Failure } from "./S3Client.ts"

/** Begins the upload of the object with this key. */
export const begin = Effect.fnUntraced(function* (client: S3Client.S3Client, key: string) {
  const { text } = yield* client.text({ method: "POST", key, query: { uploads: "" } })
  const uploadId = element(text, "UploadId")
  if (uploadId === undefined) return yield* new S3Failure({ code: "no UploadId", status: 200 })
  const tags: Array<string> = []
  return {
    part: (body: Uint8Array) =>
      Effect.map(
        client.text({ method: "PUT", key, query: { partNumber: String(tags.length + 1), uploadId }, body }),
        (answer) => void tags.push(answer.header("etag") ?? "")
      ),
    /** Completes the object, and moves it to another key. */
    finish: Effect.fnUntraced(function* (finalKey: string) {
      const parts = tags.map((tag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${tag}</ETag></Part>`)
      yield* client
        .text({
          method: "POST",
          key,
          query: { uploadId },
          headers: { "content-type": "application/xml" },
          body: Buffer.from(`<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`)
        })
        .pipe(
          // The request was repeated after its response was lost.
          Effect.catchIf(
            ({ code }) => code === "NoSuchUpload",
            (failure) => Effect.mapError(client.text({ method: "HEAD", key }), () => failure)
          )
        )
      yield* client.text({
        method: "PUT",
        key: finalKey,
        headers: { "x-amz-copy-source": `/${client.bucket}/${key}` }
      })
      yield* S3Client.drop(client, key)
    }),
    abandon: Effect.andThen(
      Effect.ignore(S3Client.drop(client, key, { uploadId })),
      Effect.ignore(S3Client.drop(client, key))
    )
  }
})
