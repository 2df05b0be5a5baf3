{{/*
The pod of a service. Call with a dict:
  root      the chart's root context
  port      container port of its API, or of its probes and metrics
  portName
  env       list of further environment variables
  volumes   list of volumes, and
  mounts    list of their mounts
*/}}
{{- define "common.pod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
metadata:
  labels:
    {{- include "common.labels" $root | nindent 4 }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include "common.configData" $root | sha256sum }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "common.name" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- include "common.pullSecrets" $root | nindent 2 }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- include "common.placement" $root | nindent 2 }}
  containers:
    - name: {{ $root.Chart.Name }}
      image: {{ include "common.image" $root }}
      imagePullPolicy: {{ include "common.pullPolicy" $root }}
      securityContext:
        {{- include "common.containerSecurity" $root | nindent 8 }}
      envFrom:
        - configMapRef:
            name: {{ include "common.name" $root }}
      {{- $env := concat (list) (.env | default list) }}
      {{- $mounts := concat (list) (.mounts | default list) }}
      {{- $volumes := concat (list) (.volumes | default list) }}
      {{- if include "common.queueToken" $root }}
      {{- $env = append $env (dict "name" "QUEUE_TOKEN_FILE" "value" "/etc/gpu-telemetry/queue-token/token") }}
      {{- $mounts = append $mounts (dict "name" "queue-token" "mountPath" "/etc/gpu-telemetry/queue-token" "readOnly" true) }}
      {{- $volumes = append $volumes (dict "name" "queue-token" "secret" (dict "secretName" (include "common.queueTokenSecret" $root) "defaultMode" 288)) }}
      {{- end }}
      {{- if include "common.tls" $root }}
      {{- $env = append $env (dict "name" "TLS_CERT_FILE" "value" "/etc/gpu-telemetry/tls/tls.crt") }}
      {{- $env = append $env (dict "name" "TLS_KEY_FILE" "value" "/etc/gpu-telemetry/tls/tls.key") }}
      {{- if ne $root.Chart.Name "queue-service" }}
      {{- $env = append $env (dict "name" "TLS_CA_FILE" "value" "/etc/gpu-telemetry/tls/ca.crt") }}
      {{- end }}
      {{- $mounts = append $mounts (dict "name" "tls" "mountPath" "/etc/gpu-telemetry/tls" "readOnly" true) }}
      {{- $volumes = append $volumes (dict "name" "tls" "secret" (dict "secretName" (include "common.tlsSecret" $root) "defaultMode" 288)) }}
      {{- end }}
      {{- $env = concat $env ($values.extraEnv | default list) }}
      {{- $mounts = concat $mounts ($values.extraVolumeMounts | default list) }}
      {{- $volumes = concat $volumes ($values.extraVolumes | default list) }}
      {{- with $env }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: {{ .portName }}
          containerPort: {{ .port }}
      # Starting and being alive ask nobody else; being ready asks what the service stands on.
      startupProbe:
        {{- include "common.probe" (dict "root" $root "path" "/livez" "port" .portName) | nindent 8 }}
        periodSeconds: 1
        failureThreshold: 60
      livenessProbe:
        {{- include "common.probe" (dict "root" $root "path" "/livez" "port" .portName) | nindent 8 }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        {{- include "common.probe" (dict "root" $root "path" "/readyz" "port" .portName) | nindent 8 }}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      # Time for the endpoints to forget the pod. On SIGTERM it hands back or stores what it holds.
      lifecycle:
        preStop:
          exec:
            command: [sleep, {{ $values.preStopSeconds | quote }}]
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      {{- with $mounts }}
      volumeMounts:
        {{- toYaml . | nindent 8 }}
      {{- end }}
  {{- with $volumes }}
  volumes:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "common.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "common.probe" -}}
httpGet:
  path: {{ .path }}
  port: {{ .port }}
  scheme: {{ include "common.scheme" .root | upper }}
{{- end }}

{{/* Where pods go: spread over hosts, unless values say otherwise. */}}
{{- define "common.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- if .Values.topologySpreadConstraints }}
  {{- toYaml .Values.topologySpreadConstraints | nindent 2 }}
  {{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "common.selector" . | nindent 8 }}
  {{- end }}
{{- end }}
