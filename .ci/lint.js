/** Lint rules of this repository, for what oxlint has no rule of its own. */

const secret = /token|secret|signature|digest|hmac|password|cookie|browser/i

/** The name that an operand ends with: `a` of `a`, `this.a` and `Redacted.value(a)`. */
const nameOf = (node) => {
  if (node.type === "Identifier") return node.name
  if (node.type === "MemberExpression") return nameOf(node.property)
  if (node.type === "CallExpression" && node.arguments.length === 1) return nameOf(node.arguments[0])
  return ""
}

/** `undefined`, `null`, and what the code says itself: comparing with these tells nothing of a secret. */
const isConstant = (node) =>
  node.type === "Literal" ||
  (node.type === "Identifier" && node.name === "undefined") ||
  (node.type === "MemberExpression" && nameOf(node) === "length")

/** `===` ends at the first character that differs, so that its time tells how much of a guess was right. */
const constantTime = {
  create: (context) => ({
    BinaryExpression: (node) => {
      const { left, operator, right } = node
      if (!/^[!=]==?$/.test(operator) || isConstant(left) || isConstant(right)) return
      if (![left, right].some((side) => secret.test(nameOf(side)))) return
      context.report({ node, message: "Compare secrets in constant time: Sessions.same, or crypto.timingSafeEqual." })
    }
  })
}

export default { meta: { name: "idem" }, rules: { "constant-time": constantTime } }
