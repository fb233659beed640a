# Two images: `runtime`, the last and so the default; and `trial`, which brings Valkey and Postgres along for `stakehold up`.
# What is installed is said in scripts/image/steps.sh, line by line by its hash; tests/image runs these very steps.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim-bookworm AS wheel
WORKDIR /build
COPY requirements /build/requirements
COPY scripts/image /build/scripts/image
COPY pyproject.toml README.md LICENSE /build/
COPY fx /build/fx
COPY lua /build/lua
COPY persistence /build/persistence
COPY protos /build/protos
COPY service /build/service
RUN ["/build/scripts/image/steps.sh", "wheel", "/build", "/build/wheels"]

FROM wheel AS build
RUN ["/build/scripts/image/steps.sh", "install", "/build/requirements/runtime.txt", "/build/wheels", "/opt/stakehold"]

FROM wheel AS build-trial
RUN ["/build/scripts/image/steps.sh", "install", "/build/requirements/embedded.txt", "/build/wheels", "/opt/stakehold-trial"]

FROM python:${PYTHON}-slim-bookworm AS base
# A name for the number: Postgres, in the trial, asks for one.
RUN groupadd --gid 10001 stakehold \
  && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin stakehold
# SAFEPATH: what lies where it is started is not imported.
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /
STOPSIGNAL SIGTERM
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Stakehold" \
      org.opencontainers.image.description="A multi-currency wallet service for games and sportsbooks" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM base AS trial
COPY --from=build-trial /opt/stakehold-trial /opt/stakehold-trial
ENV PATH=/opt/stakehold-trial/bin:$PATH
ENTRYPOINT ["/opt/stakehold-trial/bin/stakehold"]
CMD ["up", "--data", "/data"]

FROM base AS runtime
COPY --from=build /opt/stakehold /opt/stakehold
ENV PATH=/opt/stakehold/bin:$PATH
EXPOSE 50051 50052 50053 9464
ENTRYPOINT ["/opt/stakehold/bin/stakehold"]
CMD ["serve"]
