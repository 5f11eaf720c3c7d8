/** Feeds as the examples of their specifications have them, and as servers send them. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Fs from "node:fs"
import { NoFeed, parse } from "../../../src/integrations/rss/FeedParser.ts"

const at = new URL("https://site.example/blog/feed.xml")

const read = (feed: string | Uint8Array, mediaType = "") =>
  parse(typeof feed === "string" ? Buffer.from(feed) : feed, mediaType, at).entries.map(({ content, externalId }) => {
    const { body, mediaType, metadata, occurredAt, title } = content
    assert(body instanceof Uint8Array)
    const time = occurredAt === undefined ? undefined : DateTime.formatIso(occurredAt)
    return { externalId, title, time, mediaType, metadata, body: Buffer.from(body).toString() }
  })

const rss = (items: string, declaration = "") => `${declaration}<rss version="2.0"
  xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel>
  <title>T</title><link>https://site.example/</link><description>D</description>${items}</channel></rss>`
const titleOf = (feed: string | Uint8Array, mediaType?: string) => read(feed, mediaType)[0]?.title

describe("a feed", () => {
  // https://www.rssboard.org/rss-specification, https://web.resource.org/rss/1.0/modules/content/
  it("of RSS 2.0 gives the full text, its summary, enclosures, and links by the site's address", () => {
    const [entry] = read(
      rss(`<item><title>Star City's  Test</title><link>/news/1</link>
        <description><![CDATA[How do <a href="/x">Americans</a>]]></description>
        <content:encoded><![CDATA[<p>Full &amp; more</p>]]></content:encoded>
        <guid isPermaLink="false">item573</guid><pubDate>Tue, 03 Jun 2003 09:39:21 EST</pubDate>
        <dc:creator>Ann</dc:creator><category domain="http://d">Grateful Dead</category><comments>/news/1#c</comments>
        <enclosure url="/mp3s/weather.mp3" length="12216320" type="audio/mpeg"/></item>`)
    )
    assert.deepStrictEqual(entry, {
      externalId: "item573",
      title: "Star City's Test",
      time: "2003-06-03T14:39:21.000Z",
      mediaType: "text/html; charset=utf-8",
      metadata: {
        link: "https://site.example/news/1",
        summary: 'How do <a href="/x">Americans</a>',
        comments: "https://site.example/news/1#c",
        base: "https://site.example/",
        authors: ["Ann"],
        categories: ["Grateful Dead"],
        enclosures: [{ url: "https://site.example/mp3s/weather.mp3", type: "audio/mpeg", length: 12_216_320 }]
      },
      body: "<p>Full &amp; more</p>"
    })
  })

  it("of RSS gives an entry without a guid by its link, one with neither by a digest, and each id once", () => {
    const entries = read(
      rss(`<item><link>https://site.example/1</link><title>one</title></item><item><title>none</title></item>
        <item><guid>https://site.example/1</guid><title>again</title></item><item><guid>http://x/2</guid></item>`)
    )
    assert.deepStrictEqual(
      entries.map(({ externalId }) => externalId.replace(/^[0-9a-f]{64}$/, "digest")),
      ["https://site.example/1", "digest", "http://x/2"]
    )
    assert.strictEqual(entries[0]?.title, "one")
    assert.strictEqual(entries[2]?.metadata["link"], "http://x/2")
  })

  // https://web.resource.org/rss/1.0/spec, example 4.1
  it("of RSS 1.0 has its items beside the channel", () => {
    const feed = `<?xml version="1.0"?><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
      xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns="http://purl.org/rss/1.0/">
      <channel rdf:about="http://www.xml.com/xml/news.rss"><title>XML.com</title><link>http://xml.com/pub</link>
      <description>XML.com features</description><items><rdf:Seq><rdf:li resource="http://xml.com/pub/2000/08/09/xslt.html"/>
      </rdf:Seq></items></channel><item rdf:about="http://xml.com/pub/2000/08/09/xslt.html"><title>Processing Inclusions</title>
      <link>http://xml.com/pub/2000/08/09/xslt.html</link><description>Processing document inclusions</description>
      <dc:creator>Ann</dc:creator><dc:subject>XSLT</dc:subject><dc:date>2000-08-09T10:00+02:00</dc:date></item></rdf:RDF>`
    const [entry] = read(feed)
    assert.strictEqual(entry?.externalId, "http://xml.com/pub/2000/08/09/xslt.html")
    assert.deepInclude(entry, { body: "Processing document inclusions", time: "2000-08-09T08:00:00.000Z" })
    assert.deepInclude(entry?.metadata, { authors: ["Ann"], categories: ["XSLT"] })
  })

  // RFC 4287, 1.1 (the second example) and 4.1.3; https://validator.w3.org/feed/docs/atom.html
  it("of Atom gives XHTML, HTML and text, inherits authors, and resolves links by xml:base", () => {
    const feed = `<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom" xml:base="http://example.org/">
      <title type="text">dive into mark</title><updated>2005-07-31T12:29:29Z</updated><id>tag:example.org,2003:3</id>
      <author><name>Mark Pilgrim</name></author>
      <entry xml:base="2005/"><title type="html">Atom &lt;em&gt;draft&lt;/em&gt; &amp;amp; more</title>
        <link rel="enclosure" type="audio/mpeg" length="1337" href="audio/ph34r.mp3"/><link href="04/02/atom"/>
        <id>tag:example.org,2003:3.2397</id><updated>2005-07-31T12:29:29Z</updated>
        <published>2003-12-13T08:29:29-04:00</published><category term="x" label="X-ray"/><summary>short</summary>
        <content type="xhtml" xml:lang="en"><div xmlns="http://www.w3.org/1999/xhtml"><p><i>[Update: &lt;done&gt;]</i></p></div></content></entry>
      <entry><id>2</id><title>1 &lt; 2</title><updated>2005-07-31</updated><author><email>a@x.example</email></author><summary>a &lt; b</summary></entry>
      <entry><id>3</id><content type="image/png">iVBORw==</content></entry>
      <entry><id>4</id><content type="text/markdown"># Title</content></entry></feed>`
    const [first, second, third, fourth] = read(feed)
    assert.deepStrictEqual(first, {
      externalId: "tag:example.org,2003:3.2397",
      title: "Atom draft & more",
      time: "2003-12-13T12:29:29.000Z",
      mediaType: "text/html; charset=utf-8",
      metadata: {
        link: "http://example.org/2005/04/02/atom",
        updated: "2005-07-31T12:29:29Z",
        summary: "short",
        language: "en",
        base: "http://example.org/2005/",
        authors: ["Mark Pilgrim"],
        categories: ["X-ray"],
        enclosures: [{ url: "http://example.org/2005/audio/ph34r.mp3", type: "audio/mpeg", length: 1337 }]
      },
      body: "<p><i>[Update: &lt;done&gt;]</i></p>"
    })
    assert.deepInclude(second, { title: "1 < 2", body: "a < b", mediaType: "text/plain; charset=utf-8" })
    assert.deepInclude(second, { time: "2005-07-31T00:00:00.000Z" })
    assert.deepStrictEqual(second?.metadata["authors"], ["a@x.example"])
    assert.strictEqual(third?.mediaType, "image/png")
    assert.strictEqual(
      Buffer.from(third?.body ?? "", "utf8")
        .toString()
        .slice(1, 4),
      "PNG"
    )
    assert.deepInclude(fourth, { mediaType: "text/markdown", body: "# Title" })
  })

  // https://www.jsonfeed.org/version/1.1/: its examples, with a number for an id, which readers have to take
  it("of JSON Feed gives HTML or text, with its attachments", () => {
    const feed = {
      version: "https://jsonfeed.org/version/1.1",
      title: "The Record",
      authors: [{ name: "Feed" }],
      items: [
        { id: 1, content_text: "Chris has joined <us>", date_published: "2014-05-09T14:04:00-07:00", url: "/p/1" },
        {
          id: "2",
          content_html: "<p>Hi</p>",
          authors: [{ name: "Bo" }],
          attachments: [{ url: "http://x/a.m4a", mime_type: "audio/x-m4a", size_in_bytes: 89_970_236 }]
        }
      ]
    }
    const [first, second] = read(JSON.stringify(feed), "application/feed+json")
    assert.deepStrictEqual(first, {
      externalId: "1",
      title: undefined,
      time: "2014-05-09T21:04:00.000Z",
      mediaType: "text/plain; charset=utf-8",
      metadata: { link: "https://site.example/p/1", authors: ["Feed"] },
      body: "Chris has joined <us>"
    })
    assert.strictEqual(second?.body, "<p>Hi</p>")
    assert.deepStrictEqual(second?.metadata["authors"], ["Bo"])
  })

  // RFC 7303, 3 and 8; a UTF-16 declaration over single bytes is what .NET's StringWriter writes
  it("is read by its byte-order mark, its media type, its declaration, or as UTF-8", () => {
    const text = rss(`<item><title>café</title></item>`)
    const declared = (name: string) =>
      rss(`<item><title>café</title></item>`, `<?xml version="1.0" encoding="${name}"?>`)
    const latin = (feed: string) => Buffer.from(feed, "latin1")
    const utf16 = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(declared("utf-16"), "utf16le")])
    const cases: ReadonlyArray<readonly [Uint8Array, string]> = [
      [Buffer.from(text), ""],
      [Buffer.from(`\u{feff}${text}`), "text/xml; charset=iso-8859-1"],
      [latin(text), "text/xml; charset=ISO-8859-1"],
      [latin(declared("iso-8859-1")), "text/xml"],
      [latin(declared("iso-8859-1")), "text/xml; charset=utf-8"],
      [Buffer.from(declared("utf-16")), ""],
      [Buffer.from(declared("utf-8")), "text/xml; charset=x-unknown"],
      [utf16, "application/xml"]
    ]
    for (const [bytes, mediaType] of cases) assert.strictEqual(titleOf(bytes, mediaType), "café", mediaType)
  })

  it("gives a time without a zone as UTC, and no time that is none", () => {
    const times = ["2004-01-02 03:04:05", "2004-01-02T03:04:05+01:00", "Fri, 02 Jan 2004 03:04:05 GMT", "soon", ""]
    const entries = read(
      rss(times.map((time, index) => `<item><guid>${index}</guid><pubDate>${time}</pubDate></item>`).join(""))
    )
    assert.deepStrictEqual(
      entries.map(({ time }) => time),
      ["2004-01-02T03:04:05.000Z", "2004-01-02T02:04:05.000Z", "2004-01-02T03:04:05.000Z", undefined, undefined]
    )
  })

  it("goes on at links to documents of the web only, by the base that the feed says", () => {
    const older = (links: string, attributes = "") => {
      const atom = `<feed xmlns="http://www.w3.org/2005/Atom" ${attributes}><id>a</id>${links}</feed>`
      return parse(Buffer.from(atom), "", new URL("https://site.example/feed?page=1")).older
    }
    assert.deepStrictEqual(older('<link rel="next" href="?page=2#top"/>'), {
      kind: "page",
      url: "https://site.example/feed?page=2"
    })
    assert.deepStrictEqual(
      older('<link rel="next" href="n"/><link rel="prev-archive" href="2003/10"/>', 'xml:base="http://a.example/b/"'),
      { kind: "archive", url: "http://a.example/b/2003/10" }
    )
    for (const href of ["?page=1", "#top", "file:///etc/passwd", "https://ann:s3cret@site.example/", "http://["]) {
      assert.isUndefined(older(`<link rel="next" href="${href}"/>`), href)
    }
    assert.isUndefined(older('<link rel="previous" href="/2"/><link rel="next-archive" href="/3"/>'))
  })
})

describe("a complete feed", () => {
  it("says so by an element of the feed in the namespace of RFC 5005, and by nothing else", () => {
    const namespace = 'xmlns:fh="http://purl.org/syndication/history/1.0"'
    const isComplete = (xml: string) => {
      const { isComplete } = parse(Buffer.from(xml), "", new URL("https://site.example/feed"))
      return isComplete
    }
    const rss = (own: string, item: string, attributes = "") =>
      `<rss version="2.0" ${attributes}><channel><title>T</title>${own}<item><title>x</title>${item}</item></channel></rss>`
    assert.isTrue(isComplete(rss("<fh:complete/>", "", namespace)))
    assert.isTrue(isComplete(rss('<complete xmlns="http://purl.org/syndication/history/1.0"/>', "")))
    assert.isTrue(
      isComplete(
        `<h:feed xmlns:h="http://www.w3.org/2005/Atom" ${namespace}><h:id>a</h:id><fh:complete></fh:complete></h:feed>`
      )
    )
    for (const xml of [
      rss("", "<fh:complete/>", namespace),
      rss("", "<description><![CDATA[<fh:complete/>]]></description>", namespace),
      rss("", "<description>&lt;fh:complete/&gt;</description>", namespace),
      rss("<!-- <fh:complete/> -->", "", namespace),
      rss("<fh:archive/>", "", namespace),
      rss("<fh:complete/>", "", 'xmlns:fh="http://other.example/"'),
      // No more episodes will come, and the others may be elsewhere
      // (https://podcasters.apple.com/support/823-podcast-requirements).
      rss("<itunes:complete>yes</itunes:complete>", "", `${namespace} xmlns:itunes="http://www.itunes.com/dtds/p"`),
      rss(
        '<fh:complete/><atom:link rel="next" href="/feed?page=2"/>',
        "",
        `${namespace} xmlns:atom="http://www.w3.org/2005/Atom"`
      )
    ]) {
      assert.isFalse(isComplete(xml), xml)
    }
  })
})

describe("a hostile feed", () => {
  // https://cheatsheetseries.owasp.org/cheatsheets/XML_External_Entity_Prevention_Cheat_Sheet.html
  it("reads no file, and expands no entity of its own", () => {
    const secret = "/etc/hostname"
    const external = `<!DOCTYPE rss [<!ENTITY x SYSTEM "file://${secret}">]>`
    const item = "<item><guid>1</guid><title>&x;</title></item>"
    let title: string | undefined
    try {
      title = titleOf(rss(item, external))
    } catch (error) {
      assert.instanceOf(error, NoFeed)
    }
    if (Fs.existsSync(secret)) assert.notInclude(title ?? "", Fs.readFileSync(secret, "utf8").trim())
    // "Billion laughs": each entity is ten of the one before.
    const laughs = Array.from({ length: 10 }, (_, i) => `<!ENTITY x${i + 1} "${`&x${i};`.repeat(10)}">`).join("")
    const bomb = `<!DOCTYPE rss [<!ENTITY x0 "ha">${laughs}]>`
    assert.isBelow((titleOf(rss("<item><guid>1</guid><title>&x10;</title></item>", bomb)) ?? "").length, 100)
  })

  it("is no feed where it is cut short, nested without end, or names what JavaScript has", () => {
    const broken = [
      rss("<item><guid>1</guid><title>a").slice(0, -30),
      rss(`<item>${"<a>".repeat(100_000)}${"</a>".repeat(100_000)}</item>`),
      rss("<item><guid>1</guid><__proto__>x</__proto__></item>"),
      "",
      "\0\u0001\u0002",
      `{"items": 7}`,
      "[".repeat(100_000)
    ]
    for (const feed of broken) assert.throws(() => read(feed), NoFeed)
    assert.isUndefined(({} as { readonly x?: string }).x)
  })

  it("that is a web page says which feed the page names", () => {
    const page = `<!DOCTYPE html><html><head><link rel="alternate" type="text/html" href="/print">
      <link rel="alternate" type="application/rss+xml" href="/rss.xml?key=s3cret"></head><body>rss</body></html>`
    assert.throws(() => read(page), "give the address of its feed, https://site.example/rss.xml")
    assert.throws(() => read("<html><body>busy</body></html>"), "it is a web page: give the address of its feed")
  })
})
