/** The search box of every page. `/` focuses it, and Escape leaves it. */
import { useEffect, useRef, useState } from "preact/hooks"
import { navigate, searchPath, useParameters, usePath } from "./Location.ts"

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName))

/** Focuses the field when a person presses `/` outside of a field or a dialog. */
const useSlash = (field: { readonly current: HTMLInputElement | null }): void => {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey
      if (event.key !== "/" || !isPlain || isTyping(event.target) || document.querySelector("dialog[open]")) return
      event.preventDefault()
      field.current?.focus()
      field.current?.select()
    }
    addEventListener("keydown", pressed)
    return () => removeEventListener("keydown", pressed)
  }, [field])
}

export const SearchBox = () => {
  const [path] = usePath()
  const at = useParameters()
  const searched = path === "/search" ? (at.get("q") ?? "") : ""
  const [text, setText] = useState(searched)
  const field = useRef<HTMLInputElement>(null)
  useSlash(field)
  useEffect(() => setText(searched), [searched])
  return (
    <search class="search-box">
      <form
        onSubmit={(event) => {
          event.preventDefault()
          const kept = path === "/search" ? Object.fromEntries(at) : {}
          navigate(searchPath({ ...kept, q: text.trim() }))
        }}
      >
        <input
          ref={field}
          type="search"
          aria-label="Search everything that is stored"
          aria-keyshortcuts="/"
          placeholder="Search ( / )"
          maxLength={2000}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape") event.currentTarget.blur()
          }}
        />
      </form>
    </search>
  )
}
