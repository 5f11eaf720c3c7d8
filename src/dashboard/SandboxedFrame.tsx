/**
 * A frame for a page of the server with external content. The page runs no scripts: neither this sandbox nor the page's
 * own policy allows any, and the server has rebuilt its HTML from harmless elements. It has our origin only so that
 * this component can measure its height.
 */
import { useEffect, useRef, useState } from "preact/hooks"

/** The largest height in pixels. Longer pages scroll in their frame. */
const tallest = 20_000

/** Room for a horizontal scrollbar and the border. */
const extra = 20

const heightOf = (frame: HTMLIFrameElement): number | undefined => {
  // A document that is still empty has no root.
  const root = frame.contentDocument?.querySelector("html") ?? undefined
  if (root === undefined) return undefined
  return Math.min(Math.ceil(root.getBoundingClientRect().height) + extra, tallest)
}

interface SandboxedFrameProps {
  readonly src: string
  readonly title: string
}

export const SandboxedFrame = ({ src, title }: SandboxedFrameProps) => {
  const place = useRef<HTMLIFrameElement>(null)
  const [height, setHeight] = useState<number>()
  useEffect(() => {
    const frame = place.current
    if (frame === null) return
    const fit = () => setHeight(heightOf(frame))
    let width = frame.clientWidth
    // If only the height changed, this code changed it. A page that is as high as its frame would otherwise grow
    // forever.
    const sized = new ResizeObserver(() => {
      if (frame.clientWidth === width) return
      width = frame.clientWidth
      fit()
    })
    frame.addEventListener("load", fit)
    sized.observe(frame)
    return () => {
      frame.removeEventListener("load", fit)
      sized.disconnect()
    }
  }, [])
  return (
    <iframe
      ref={place}
      class="sandboxed"
      title={title}
      sandbox="allow-same-origin"
      referrerpolicy="no-referrer"
      src={src}
      {...(height === undefined ? {} : { height })}
    />
  )
}
