# SepsisAgent CDS as one static binary in an empty image, run by nobody.
# The RUN line that builds is exercised by TestDockerfileBuildLine.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download && go mod verify
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/sepsisagent .
# The folder the log lives in must belong to the user that writes it.
RUN mkdir -p /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/sepsisagent /sepsisagent
COPY --from=build --chown=65532:65532 /out/data /data
WORKDIR /data
USER 65532:65532
EXPOSE 8080
ENV SEPSISAGENT_HTTP__ADDR=0.0.0.0:8080
VOLUME ["/data"]
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s --retries=3 CMD ["/sepsisagent", "healthcheck"]
ENTRYPOINT ["/sepsisagent"]
CMD ["serve"]
