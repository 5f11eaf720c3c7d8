/** Stacked bars by the hour. The page also shows the figures as text and as a table. */
import { useEffect, useRef } from "preact/hooks"
import UPlot from "uplot"
import type { Hour } from "./Api.ts"
import * as Format from "./Format.ts"

interface Series {
  readonly name: string
  /** The name of a colour in the style sheet. */
  readonly color: string
  readonly of: (hour: Hour) => number
}

interface HourPlotProps {
  readonly title: string
  readonly hours: ReadonlyArray<Hour>
  readonly series: ReadonlyArray<Series>
  /** The maximum of an hour, drawn as a line. */
  readonly limit?: number | undefined
}

const height = 150

/**
 * If a limit exceeds the highest bar by this factor, the bars would be invisible, so its line is drawn at the upper
 * edge.
 */
const farAbove = 10

const drawLimit = (plot: UPlot, limit: number, color: string, background: string): void => {
  const { bbox, ctx } = plot
  const inside = Math.max(plot.valToPos(limit, "y", true), bbox.top + 1)
  const pixels = devicePixelRatio
  ctx.save()
  ctx.strokeStyle = color
  ctx.lineWidth = 1.5 * pixels
  ctx.setLineDash([6 * pixels, 4 * pixels])
  ctx.beginPath()
  ctx.moveTo(bbox.left, inside)
  ctx.lineTo(bbox.left + bbox.width, inside)
  ctx.stroke()
  ctx.font = `${12 * pixels}px system-ui, sans-serif`
  ctx.textAlign = "left"
  ctx.textBaseline = "top"
  const isAbove = limit > (plot.scales["y"]?.max ?? limit)
  const text = `limit ${Format.short(limit)}${isAbove ? ", far above" : ""}`
  // Without this background, a line of the grid would cross the text.
  ctx.fillStyle = background
  ctx.fillRect(bbox.left, inside + 2 * pixels, ctx.measureText(text).width + 8 * pixels, 15 * pixels)
  ctx.fillStyle = color
  ctx.fillText(text, bbox.left + 4 * pixels, inside + 3 * pixels)
  ctx.restore()
}

/** Returns the cumulative heights of the parts of each stack. */
const stacked = (hours: ReadonlyArray<Hour>, series: ReadonlyArray<Series>): ReadonlyArray<ReadonlyArray<number>> => {
  const tops = hours.map(() => 0)
  return series.map(({ of }) =>
    hours.map((hour, index) => {
      const top = (tops[index] ?? 0) + of(hour)
      tops[index] = top
      return top
    })
  )
}

const summary = ({ hours, limit, series, title }: HourPlotProps): string => {
  const sums = series.map(({ name, of }) => `${name} ${Format.count(hours.reduce((sum, hour) => sum + of(hour), 0))}`)
  const most = hours.reduce<{ hour: string; value: number }>(
    (best, hour) => {
      const value = series.reduce((sum, { of }) => sum + of(hour), 0)
      return value > best.value ? { hour: hour.hour, value } : best
    },
    { hour: "", value: 0 }
  )
  const peak = most.value === 0 ? "" : `; most at ${Format.time(most.hour)}: ${Format.count(most.value)}`
  const bound = limit === undefined ? "" : `; the limit is ${Format.count(limit)} an hour`
  return `${title}, ${Format.many(hours.length, "hour")}: ${sums.join(", ")}${peak}${bound}`
}

const hourOf = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })
const dayOf = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" })

/** Formats the hour, or at midnight the day. */
const tick = (seconds: number): string => {
  const at = new Date(seconds * 1000)
  return at.getHours() === 0 && at.getMinutes() === 0 ? dayOf.format(at) : hourOf.format(at)
}

const options = (element: HTMLElement, { hours, limit, series }: HourPlotProps): UPlot.Options => {
  const style = getComputedStyle(document.documentElement)
  const color = (name: string) => style.getPropertyValue(name).trim()
  const axis = { stroke: color("--text-2"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } }
  const bars = UPlot.paths.bars?.({ size: [0.9, 40], align: 1 })
  const font = "12px system-ui, sans-serif"
  return {
    width: Math.max(element.clientWidth, 200),
    height,
    // Half of the last label extends beyond its tick.
    padding: [8, 24, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    legend: { show: false },
    scales: {
      x: { time: true, range: (_, min, max) => [min, max + 3600] },
      y: {
        range: (_, __, max) => {
          const top = limit !== undefined && limit <= max * farAbove ? Math.max(limit, max) : max
          return [0, Math.max(top * 1.05, 4)]
        }
      }
    },
    axes: [
      { ...axis, font, grid: { show: false }, size: 28, values: (_, splits) => splits.map(tick) },
      { ...axis, font, size: 52, values: (_, values) => values.map((value) => Format.short(value)) }
    ],
    series: [
      {},
      // The highest part is drawn first, then the parts in front of it.
      ...series.toReversed().map((each) => ({
        label: each.name,
        fill: color(each.color),
        stroke: color(each.color),
        width: 0,
        points: { show: false },
        ...(bars === undefined ? {} : { paths: bars })
      }))
    ],
    hooks: {
      draw: limit === undefined ? [] : [(plot) => drawLimit(plot, limit, color("--text-2"), color("--surface"))],
      setCursor: [
        (plot) => {
          const note = element.nextElementSibling
          const hour = plot.cursor.idx === null || plot.cursor.idx === undefined ? undefined : hours[plot.cursor.idx]
          if (note === null) return
          note.textContent =
            hour === undefined
              ? ""
              : `${Format.time(hour.hour)}: ${series.map(({ name, of }) => `${name} ${Format.count(of(hour))}`).join(", ")}`
        }
      ]
    }
  }
}

export const HourPlot = (props: HourPlotProps) => {
  const { hours, limit, series, title } = props
  const place = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const element = place.current
    if (element === null) return
    const data = [
      hours.map(({ hour }) => Date.parse(hour) / 1000),
      ...stacked(hours, series).toReversed()
    ] as unknown as UPlot.AlignedData
    const draw = () => new UPlot(options(element, props), data, element)
    let plot = draw()
    const again = () => {
      plot.destroy()
      plot = draw()
    }
    let width = element.clientWidth
    const sized = new ResizeObserver(() => {
      if (element.clientWidth === width) return
      width = element.clientWidth
      plot.setSize({ width, height })
    })
    sized.observe(element)
    const dark = matchMedia("(prefers-color-scheme: dark)")
    dark.addEventListener("change", again)
    return () => {
      dark.removeEventListener("change", again)
      sized.disconnect()
      plot.destroy()
    }
  }, [hours, limit, series])
  return (
    <figure class="plot">
      <figcaption>
        {title}
        {series.length === 1 ? null : (
          <span class="legend" aria-hidden="true">
            {series.map(({ color, name }) => (
              <span key={name} class={`key ${color.slice(2)}`}>
                {name}
              </span>
            ))}
          </span>
        )}
      </figcaption>
      <div ref={place} role="img" aria-label={summary(props)} />
      <p class="plot-note" aria-hidden="true" />
    </figure>
  )
}
