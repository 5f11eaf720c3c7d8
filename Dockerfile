# syntax=docker/dockerfile:1
# Idem for PostgreSQL: the package as it is published, on Node, and nothing else. See docs/production.md, "In a container".

FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build

FROM node:24-slim AS dependencies
WORKDIR /idem
COPY package.json package-lock.json .npmrc ./
# The image has Node, and DATABASE_URL names a PostgreSQL: neither npm's Node nor its PostgreSQL is needed. Nothing that
# is left has to be compiled (ssh2's faster ciphers are optional). Of googleapis, 240 MB, the Gmail part is used.
RUN npm ci --omit=dev --omit=optional --ignore-scripts \
  && rm -rf node_modules/node node_modules/.bin/node \
  && find node_modules/googleapis/build/src/apis -mindepth 1 -maxdepth 1 ! -name gmail -exec rm -rf {} +

FROM node:24-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000
WORKDIR /idem
COPY --from=dependencies /idem/node_modules ./node_modules
COPY --from=build /build/dist ./
USER node
EXPOSE 3000
# Exit code 0 and 1 only, as Docker asks for.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
# Node is process 1 and hears SIGTERM itself: it commits what is whole and leaves within IDEM_SHUTDOWN_TIMEOUT (30 s).
ENTRYPOINT ["node", "--max-semi-space-size=16", "src/main.js"]
CMD ["serve"]
