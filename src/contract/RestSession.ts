/** The session of a REST source. Its listing is in RestListing.ts. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Content } from "./Content.ts"
import type { OpenOptions, Session } from "./Definition.ts"
import { fail, getBytes, type HttpServer } from "./HttpRequest.ts"
import { Gone, type IntegrationError } from "./IntegrationError.ts"
import type { Authorize } from "./RestAuth.ts"
import { type ContentOf, makeListing } from "./RestListing.ts"
import {
  getItem,
  join,
  makePageCheck,
  type PageState,
  type Place,
  readItems,
  readPage,
  type RestApi,
  send
} from "./RestPage.ts"
import type { Checkpoint } from "./RestCheckpoint.ts"
import type { RestChild, RestItem, RestList, RestRequest, RestResource } from "./RestResource.ts"
import type { RestSource } from "./RestSource.ts"

const encoder = new TextEncoder()

/** Refuses an empty id, `.` and `..`, which would lead to another resource. */
const isPath = (id: string): boolean => id !== "" && id !== "." && id !== ".."

/** Checks the id, because a server may answer for a moved item with another item. */
const isAsked = (item: RestItem | undefined, id: string): item is RestItem =>
  item !== undefined && item.id === id && item.isIncluded && !item.isDeleted

const decoded = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

export const openSession = <Config, Credentials>(
  source: RestSource<Config>,
  authorize: Authorize,
  { call, config, network }: OpenOptions<Config, Credentials>
): Session<Checkpoint, PageState> => {
  const baseUrl = new URL(source.baseUrl(config))
  const headers = { accept: "application/json", ...source.headers }
  const server: HttpServer = { network, baseUrl, headers, refusal: source.refusal }
  const api: RestApi = { server, authorize, call }
  const resources = Object.entries(source.resources(config))
  const parents = new Map<string, readonly [string, RestResource]>()
  const byName = new Map<string, RestList>(resources)
  for (const [name, resource] of resources) {
    for (const [childName, child] of Object.entries(resource.children)) {
      if (byName.has(childName)) throw new TypeError(`two resources have the name ${childName}`)
      byName.set(childName, child)
      parents.set(childName, [name, resource])
    }
  }

  const contentOf: ContentOf = (name, { kind }, { content, occurredAt, revision }): Content => {
    const { body, mediaType, metadata, size, title } = content
    const about = { kind, title, mediaType, occurredAt, revision, metadata: metadata ?? {} }
    if (typeof body === "string") return { ...about, body: encoder.encode(body) }
    if (body instanceof Uint8Array) return { ...about, body }
    const bytes = send(api, `${name}.body`, (asked) => getBytes(asked, join(asked, body.path)))
    return { ...about, announced: { size, mediaType }, body: Stream.unwrap(bytes) }
  }

  /** Requests the item with this id. */
  const readAlone = Effect.fnUntraced(function* (name: string, list: RestList, id: string, request: RestRequest) {
    const item = yield* list.readAlone(yield* getItem(api, `${name}.get`, request))
    return isAsked(item, id) ? item : undefined
  })

  /** Finds a child that has no request of its own, in its item's list. */
  const lookUp = Effect.fnUntraced(function* (name: string, child: RestChild, item: RestItem, id: string) {
    const at = item.children.find(([one]) => one === name)?.[1] ?? []
    const among = (items: ReadonlyArray<RestItem>) => items.find((one) => isAsked(one, id))
    if (!("path" in at)) return among((yield* readItems(child, name, at)).items)
    const checkPage = makePageCheck(baseUrl.host, name)
    let next: string | undefined
    do {
      const place: Place = { name, list: child, path: at.path, query: at.query ?? {}, since: undefined, next }
      const page = yield* readPage(api, place)
      yield* checkPage(page)
      const found = among(page.items)
      if (found !== undefined) return found
      next = page.next
    } while (next !== undefined)
    return undefined
  })

  const findChild = Effect.fnUntraced(function* (
    [name, child]: readonly [string, RestChild],
    [parentName, parent]: readonly [string, RestResource],
    rest: string
  ): Effect.fn.Return<RestItem | undefined, IntegrationError> {
    const slash = rest.indexOf("/")
    const parentId = decoded(rest.slice(0, Math.max(slash, 0)))
    const id = rest.slice(slash + 1)
    if (parentId === undefined || !isPath(parentId) || !isPath(id)) return undefined
    if (child.itemPath !== undefined) {
      return yield* readAlone(name, child, id, child.itemPath(encodeURIComponent(id), encodeURIComponent(parentId)))
    }
    const item = yield* readAlone(parentName, parent, parentId, parent.itemPath(encodeURIComponent(parentId)))
    return item === undefined ? undefined : yield* lookUp(name, child, item, id)
  })

  const first = Effect.gen(function* () {
    const [entry] = resources
    if (entry === undefined) return { items: 0, unitsPerItem: 0 }
    const [name, resource] = entry
    const place: Place = { name, list: resource, path: resource.path, query: {}, since: undefined, next: undefined }
    const page = yield* readPage(api, place)
    const size = page.items.length
    const unitsPerItem = 1 / (size || 1)
    const isAll = page.next === undefined && resources.length === 1 && parents.size === 0
    return isAll ? { items: size, unitsPerItem } : { unitsPerItem }
  })

  return {
    // The server's quota applies to all credentials together.
    account: Effect.succeed(baseUrl.host),
    // This first request fails at once if the credentials are wrong.
    estimate: first,
    list: makeListing(api, resources, contentOf),
    download: Effect.fnUntraced(function* ({ externalId }) {
      const slash = externalId.indexOf("/")
      const name = externalId.slice(0, slash)
      const rest = externalId.slice(slash + 1)
      const resource = resources.find(([one]) => one === name)?.[1]
      const parent = parents.get(name)
      const child = parent?.[1].children[name]
      const gone = new Gone({ message: `${externalId} is not at ${baseUrl.host}` })
      const item =
        parent !== undefined && child !== undefined
          ? yield* findChild([name, child], parent, rest)
          : resource !== undefined && isPath(rest)
            ? yield* readAlone(name, resource, rest, resource.itemPath(encodeURIComponent(rest)))
            : undefined
      const list = child ?? resource
      if (list === undefined || item === undefined) return yield* fail(gone)
      return contentOf(name, list, item)
    })
  }
}
