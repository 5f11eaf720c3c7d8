# syntax=docker/dockerfile:1
# Idem for PostgreSQL: the package as it is published, on Node, and nothing else. See docs/production.md, "In a container".

FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && npm pack ./dist
WORKDIR /idem
# DATABASE_URL names a PostgreSQL: the embedded one, which is optional, is left out.
RUN npm init -y && npm install --omit=optional --ignore-scripts /build/idem-sync-idem-*.tgz

FROM node:24-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000
WORKDIR /idem
COPY --from=build /idem/node_modules ./node_modules
USER node
EXPOSE 3000
# Exit code 0 and 1 only, as Docker asks for.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
STOPSIGNAL SIGTERM
# Node is process 1 and hears SIGTERM itself: it commits what is whole and leaves within IDEM_SHUTDOWN_TIMEOUT (30 s).
ENTRYPOINT ["node", "--max-semi-space-size=16", "node_modules/@idem-sync/idem/src/main.js"]
CMD ["serve"]
