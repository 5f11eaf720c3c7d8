/**
 * Debian's Chromium through playwright-core, with pages that record their log, their requests, and violations of their
 * policy.
 */
import * as Fs from "node:fs"
import Axe from "axe-core"
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core"

/**
 * The path of a Chromium, if this machine has one. Its headless shell has no windows and needs half the CPU: the whole
 * browser starts several processes for the interface of each window.
 */
const executable: string | undefined = [
  process.env["CHROMIUM"],
  "/usr/bin/chromium-headless-shell",
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome"
].find((path): path is string => path !== undefined && path !== "" && Fs.existsSync(path))

/** Why no page can be opened; undefined if pages can be opened. */
export const missing: string | undefined =
  executable === undefined ? "there is no Chromium here (bash .ci/browser installs one)" : undefined

/** Milliseconds after which a test counts as hanging; never reached on a slow machine. */
const hung = 600_000

export const launch = (): Promise<Browser> => {
  if (executable === undefined) throw new Error(missing)
  return chromium.launch({
    executablePath: executable,
    timeout: hung,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync"
    ]
  })
}

export interface Watched {
  readonly page: Page
  readonly context: BrowserContext
  /** Errors that pages logged or threw, including violations of their policy. */
  readonly errors: Array<string>
  /** The URLs of all requests of pages. */
  readonly asked: Array<string>
}

export interface Look {
  readonly width?: number
  readonly height?: number
  readonly scheme?: "light" | "dark"
}

/** Opens a new window. */
export const open = async (browser: Browser, look: Look = {}): Promise<Watched> => {
  const context = await browser.newContext({
    viewport: { width: look.width ?? 1280, height: look.height ?? 900 },
    colorScheme: look.scheme ?? "light",
    locale: "en-GB",
    timezoneId: "UTC",
    reducedMotion: "reduce"
  })
  context.setDefaultTimeout(hung)
  const errors: Array<string> = []
  const asked: Array<string> = []
  context.on("console", (message) => {
    if (message.type() === "error" || /content security policy/i.test(message.text())) errors.push(message.text())
  })
  context.on("weberror", (error) => errors.push(String(error.error())))
  context.on("request", (request) => asked.push(request.url()))
  const page = await context.newPage()
  return { page, context, errors, asked }
}

/**
 * Waits until the expression is true on the page. `page.waitForFunction` polls with `eval`, which the page's policy
 * forbids.
 */
export const until = async (page: Page, expression: string): Promise<void> => {
  while ((await page.evaluate(expression)) !== true) await page.evaluate("new Promise(requestAnimationFrame)")
}

/** The rules of axe-core whose findings depend on the theme. */
const colourRules = ["color-contrast", "link-in-text-block"]

/** Returns the serious and critical findings of axe-core, or of these rules alone, on the present page, one a line. */
export const faults = async (page: Page, rules?: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  if ((await page.evaluate("typeof axe")) === "undefined") await page.evaluate(Axe.source)
  const options = { iframes: false, resultTypes: ["violations"], ...(rules === undefined ? {} : { runOnly: rules }) }
  const found = await page.evaluate(
    `axe.run(document, ${JSON.stringify(options)}).then(({ violations }) => violations)`
  )
  return (found as ReadonlyArray<Axe.Result>)
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ help, id, nodes }) =>
      nodes.map(
        (node) => `${id}: ${help}: ${node.html.slice(0, 200)} ${node.any.map((check) => check.message).join("; ")}`
      )
    )
}

/** Returns the parts of the page that are too wide: the page itself, or elements that scroll sideways in it. */
const overflows = async (page: Page): Promise<ReadonlyArray<string>> =>
  (await page.evaluate(`
    [document.documentElement, ...document.querySelectorAll("main, main *")]
      .filter((part) => part.checkVisibility())
      .filter((part) => part === document.documentElement || /auto|scroll/.test(getComputedStyle(part).overflowX))
      .filter((part) => part.scrollWidth > part.clientWidth + 1)
      .map((part) => part.tagName + "." + part.className + ": " + part.scrollWidth + " in " + part.clientWidth + " px")
  `)) as ReadonlyArray<string>

/** A phone, a narrow and a wide window: each layout of the style sheet in which a page may be too wide. */
const widths = [320, 768, 1280]

/**
 * Returns the findings of axe-core on the present page, in the narrowest and the widest window and in both themes, and
 * the parts that are too wide in each layout. Restores the page's theme.
 */
export const faultsAtEachWidth = async (page: Page): Promise<ReadonlyArray<string>> => {
  const found: Array<string> = []
  const isDark = await page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
  const [own, other] = isDark === true ? (["dark", "light"] as const) : (["light", "dark"] as const)
  for (const width of widths) {
    await page.setViewportSize({ width, height: 900 })
    // Plots are redrawn in the first of these frames.
    for (let frame = 0; frame < 2; frame += 1) await page.evaluate("new Promise(requestAnimationFrame)")
    const these = [...(await overflows(page))]
    if (width !== 768) these.push(...(await faults(page)))
    if (width === 1280) {
      await page.emulateMedia({ colorScheme: other })
      these.push(...(await faults(page, colourRules)).map((fault) => `${other}: ${fault}`))
      await page.emulateMedia({ colorScheme: own })
    }
    found.push(...these.map((fault) => `at ${width} px: ${fault}`))
  }
  return found
}
