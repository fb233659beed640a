{{- define "stakehold.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "stakehold.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "stakehold.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "stakehold.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* Of all pods of a release; with a component of one kind of them. */}}
{{- define "stakehold.selectorLabels" -}}
app.kubernetes.io/name: {{ include "stakehold.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "stakehold.labels" -}}
{{ include "stakehold.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "stakehold.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "stakehold.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "stakehold.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ if and .Values.trial.enabled (not .Values.image.tag) }}-trial{{ end }}
{{- end }}
{{- end }}

{{- /* A number as people write it: Helm keeps 1000000 as 1e+06. */}}
{{- define "stakehold.plain" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{- /* The environment that `settings` make, each under a prefix. */}}
{{- define "stakehold.settingsEnv" -}}
{{- $prefix := .prefix }}
{{- range $name, $value := .settings }}
- name: {{ printf "%s%s" $prefix (upper $name) }}
  value: {{ include "stakehold.plain" $value | quote }}
{{- end }}
{{- end }}

{{- define "stakehold.secretEnv" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end }}

{{- /* What every process reads. */}}
{{- define "stakehold.processEnv" -}}
{{- with .Values.settings.log_format }}
- name: STAKEHOLD_LOG_FORMAT
  value: {{ . | quote }}
{{- end }}
{{- with .Values.settings.log_level }}
- name: STAKEHOLD_LOG_LEVEL
  value: {{ . | quote }}
{{- end }}
{{- include "stakehold.tracesEnv" . }}
{{- end }}

{{- /* Where traces go, for processes that do not get all settings. */}}
{{- define "stakehold.tracesEnv" -}}
{{- range $name := list "traces_endpoint" "traces_ratio" "traces_per_s" }}
{{- if hasKey $.Values.settings $name }}
- name: {{ printf "STAKEHOLD_%s" (upper $name) }}
  value: {{ include "stakehold.plain" (get $.Values.settings $name) | quote }}
{{- end }}
{{- end }}
{{- include "stakehold.tracesHeadersEnv" . }}
{{- end }}

{{- define "stakehold.tracesHeadersEnv" -}}
{{- if .Values.traces.existingSecret }}
- name: STAKEHOLD_TRACES_HEADERS_FILE
  value: /etc/stakehold/traces/{{ .Values.traces.headersKey }}
{{- end }}
{{- end }}

{{- /* What every process has beside its own. */}}
{{- define "stakehold.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.traces.existingSecret }}
- name: traces
  mountPath: /etc/stakehold/traces
  readOnly: true
{{- end }}
{{- end }}

{{- define "stakehold.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- with .Values.traces.existingSecret }}
- name: traces
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{- define "stakehold.listenEnv" -}}
- name: STAKEHOLD_METRICS_LISTEN
  value: {{ printf "%s:9464" .Values.bindAddress | quote }}
- name: STAKEHOLD_HEALTH_LISTEN
  value: {{ printf "%s:50053" .Values.bindAddress | quote }}
{{- end }}

{{- /* Of the processes that go to the store and the ledger. */}}
{{- define "stakehold.storesEnv" -}}
{{ include "stakehold.secretEnv" (dict "name" "STAKEHOLD_VALKEY_URL" "secret" (required "valkey.existingSecret: the secret with the store's URL" .Values.valkey.existingSecret) "key" .Values.valkey.key) }}
{{ include "stakehold.secretEnv" (dict "name" "STAKEHOLD_POSTGRES_URL" "secret" (required "postgres.existingSecret: the secret with the ledger's URL" .Values.postgres.existingSecret) "key" .Values.postgres.key) }}
{{- include "stakehold.settingsEnv" (dict "prefix" "STAKEHOLD_" "settings" .Values.settings) }}
{{- include "stakehold.tracesHeadersEnv" . }}
{{- end }}

{{- /* Of the processes that call the service. */}}
{{- define "stakehold.clientEnv" -}}
- name: STAKEHOLD_ADDRESS
  value: {{ include "stakehold.callAddress" . | quote }}
- name: STAKEHOLD_CA_FILE
  value: /etc/stakehold/client/ca.crt
{{- /* Asked for, and so of use, only where all callers need one. */}}
{{- if eq .Values.server.tls.clientCertificates "required" }}
- name: STAKEHOLD_CERT_FILE
  value: /etc/stakehold/client/tls.crt
- name: STAKEHOLD_KEY_FILE
  value: /etc/stakehold/client/tls.key
{{- end }}
{{- with .Values.client.tokenKey }}
- name: STAKEHOLD_TOKEN_FILE
  value: /etc/stakehold/client/{{ . }}
{{- end }}
{{- end }}

{{- define "stakehold.callAddress" -}}
{{ include "stakehold.fullname" . }}-headless.{{ .Release.Namespace }}.svc:50051
{{- end }}

{{- /* Of who calls the service: its own, or the one of all. */}}
{{- define "stakehold.clientSecret" -}}
{{ required "client.existingSecret: the secret with which the service is called (tls.crt, tls.key, ca.crt); the feed and the edge may have their own, clientExistingSecret" (default .root.Values.client.existingSecret .values.clientExistingSecret) }}
{{- end }}

{{- define "stakehold.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ .Values.podSecurityContext.runAsUser }}
runAsGroup: {{ .Values.podSecurityContext.runAsGroup }}
fsGroup: {{ .Values.podSecurityContext.fsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "stakehold.containerSecurityContext" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- /* The beginning of every pod's spec. */}}
{{- define "stakehold.podBasics" -}}
serviceAccountName: {{ include "stakehold.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "stakehold.podSecurityContext" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Where a component's pods may run, and that they do not all run in one place. */}}
{{- define "stakehold.placement" -}}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "stakehold.selectorLabels" $ | nindent 8 }}
  {{- end }}
{{- include "stakehold.scheduling" .values }}
{{- end }}

{{- define "stakehold.scheduling" }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- /* A container's image, security, probes and resources. */}}
{{- define "stakehold.containerBasics" -}}
image: {{ include "stakehold.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- include "stakehold.containerSecurityContext" . | nindent 2 }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
{{- end }}

{{- define "stakehold.probes" -}}
startupProbe:
  grpc:
    port: 50053
    service: startup
  periodSeconds: 2
  timeoutSeconds: 5
  # Migrations may take their time before; then it is started again.
  failureThreshold: {{ add 60 (div (ceil (default 0 .Values.settings.migration_wait_s)) 2) }}
readinessProbe:
  grpc:
    port: 50053
    service: readiness
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  grpc:
    port: 50053
    service: liveness
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{- /* How long a stop may take: what comes before it, the calls under way, and a margin to close everything. */}}
{{- define "stakehold.terminationGrace" -}}
{{- $needed := add (default 0 .values.preStopSeconds) (ceil (default 0 .root.Values.settings.stop_notice_s)) (ceil (default 0 .root.Values.settings.shutdown_grace_s)) 15 }}
{{- $given := int .values.terminationGracePeriodSeconds }}
{{- if not $given }}
{{- $needed }}
{{- else if lt $given (int $needed) }}
{{- fail (printf "%s.terminationGracePeriodSeconds is %d, and a stop takes up to %d s: preStopSeconds, settings.stop_notice_s, settings.shutdown_grace_s and 15 s to close everything" .component $given (int $needed)) }}
{{- else }}
{{- $given }}
{{- end }}
{{- end }}

{{- define "stakehold.rollout" -}}
revisionHistoryLimit: 5
minReadySeconds: 5
# Longer than a pod may take: a node is found, its image is fetched, and the startup probe gives it its time.
progressDeadlineSeconds: {{ add 300 (ceil (default 0 .root.Values.settings.migration_wait_s)) }}
strategy:
  type: RollingUpdate
  rollingUpdate:
    maxUnavailable: 0
    # Servers are many: one after the other would take longer than who upgrades them waits.
    maxSurge: {{ ternary "25%" 1 (eq .component "server") }}
{{- end }}

{{- define "stakehold.podDisruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "stakehold.fullname" .root }}-{{ .component }}
  labels:
    {{- include "stakehold.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "stakehold.selectorLabels" . | nindent 6 }}
{{- end }}

{{- /* One way out of a NetworkPolicy: to whom, and to which ports. */}}
{{- define "stakehold.egressTo" -}}
- ports:
    {{- range .ports }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "stakehold.egressDns" -}}
- ports:
    {{- range .Values.networkPolicy.dns.ports }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with .Values.networkPolicy.dns.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "stakehold.egressStores" -}}
{{ include "stakehold.egressDns" . }}
{{ include "stakehold.egressTo" .Values.networkPolicy.valkey }}
{{ include "stakehold.egressTo" .Values.networkPolicy.postgres }}
{{- if .Values.settings.traces_endpoint }}
{{ include "stakehold.egressTo" .Values.networkPolicy.otlp }}
{{- end }}
{{- end }}

{{- /* To the servers of this release. */}}
{{- define "stakehold.egressServer" -}}
- ports:
    - port: 50051
      protocol: TCP
  to:
    - podSelector:
        matchLabels:
          {{- include "stakehold.selectorLabels" (dict "root" . "component" "server") | nindent 10 }}
{{- end }}

{{- define "stakehold.ingressPrometheus" -}}
{{- with .Values.networkPolicy.prometheus }}
- ports:
    - port: metrics
      protocol: TCP
  from:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end }}
