{{/*
Names, labels and images. All take the root context of the chart that calls.
*/}}

{{/* The name of the chart's objects: unprefixed, so that one release of it fits in a namespace. */}}
{{- define "common.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "common.selector" -}}
app: {{ include "common.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "common.labels" -}}
{{ include "common.selector" . }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: gpu-telemetry
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "common.metadata" -}}
name: {{ include "common.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "common.labels" . | nindent 2 }}
{{- end }}

{{/* [REGISTRY/]REPOSITORY:TAG of our own images. */}}
{{- define "common.image" -}}
{{- $global := (.Values.global).image | default dict -}}
{{- $registry := .Values.image.registry | default $global.registry | default "" -}}
{{- $tag := .Values.image.tag | default $global.tag | default .Chart.AppVersion -}}
{{- with $registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ .Values.image.repository }}:{{ $tag }}
{{- end }}

{{/* Of an image that is somebody else's. */}}
{{- define "common.stateImage" -}}
{{- with .Values.image.registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end }}

{{- define "common.pullPolicy" -}}
{{ .Values.image.pullPolicy | default ((.Values.global).image | default dict).pullPolicy | default "IfNotPresent" }}
{{- end }}

{{- define "common.pullSecrets" -}}
{{- with .Values.imagePullSecrets | default (.Values.global).imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* "true" where the services speak TLS. */}}
{{- define "common.tls" -}}
{{- if or .Values.tls.enabled (dig "tls" "enabled" false (.Values.global | default dict)) }}true{{ end }}
{{- end }}

{{- define "common.tlsSecret" -}}
{{ .Values.tls.secret | default (dig "tls" "secret" "" (.Values.global | default dict)) | default "gpu-telemetry-tls" }}
{{- end }}

{{/* "true" where the queue asks for a token. */}}
{{- define "common.queueToken" -}}
{{- if or .Values.queueToken.enabled (dig "queueToken" "enabled" false (.Values.global | default dict)) }}true{{ end }}
{{- end }}

{{- define "common.queueTokenSecret" -}}
{{ .Values.queueToken.secret | default (dig "queueToken" "secret" "" (.Values.global | default dict)) | default "queue-token" }}
{{- end }}

{{- define "common.scheme" -}}
{{ if include "common.tls" . }}https{{ else }}http{{ end }}
{{- end }}

{{- define "common.storageClass" -}}
{{- with .Values.persistence.storageClass | default (.Values.global).storageClass }}
storageClassName: {{ . }}
{{- end }}
{{- end }}

{{/*
Bytes of a Secret that are made once: what is in the cluster stays. Call with a dict of root, name
(of the Secret), key, value (for when there is none).
*/}}
{{- define "common.kept" -}}
{{- $there := (lookup "v1" "Secret" .root.Release.Namespace .name).data | default dict -}}
{{- index $there .key | default (b64enc .value) -}}
{{- end }}
