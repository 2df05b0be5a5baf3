{{/*
Objects that every service has. All take the root context of the chart that calls.
*/}}

{{/* The settings: what values.config says, without what is empty, and what the chart defines as
"CHART.config" from other values. */}}
{{- define "common.configData" -}}
{{- $data := dict }}
{{- range $name, $value := .Values.config }}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
{{- $_ := set $data $name (kindIs "float64" $value | ternary (int64 $value | toString) (toString $value)) }}
{{- end }}
{{- end }}
{{- $data = merge $data (include (printf "%s.config" .Chart.Name) . | fromYaml) }}
{{- toYaml $data }}
{{- end }}

{{- define "common.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "common.metadata" . | nindent 2 }}
data:
  {{- include "common.configData" . | nindent 2 }}
{{- end }}

{{- define "common.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "common.metadata" . | nindent 2 }}
automountServiceAccountToken: false
{{- end }}

{{- define "common.podDisruptionBudget" -}}
{{- if .Values.podDisruptionBudget.enabled }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "common.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ .Values.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "common.selector" . | nindent 6 }}
{{- end }}
{{- end }}

{{/* Call with a dict of root, ingress and egress (YAML text of their rules; DNS is added). */}}
{{- define "common.networkPolicy" -}}
{{- $values := .root.Values }}
{{- if dig "networkPolicy" "enabled" $values.networkPolicy.enabled ($values.global | default dict) }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "common.metadata" .root | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      app: {{ include "common.name" .root }}
  policyTypes: [Ingress, Egress]
  {{- $ingress := concat (fromYamlArray .ingress) ($values.networkPolicy.extraIngress | default list) }}
  {{- if $ingress }}
  ingress:
    {{- toYaml $ingress | nindent 4 }}
  {{- else }}
  ingress: []
  {{- end }}
  {{- $egress := concat (fromYamlArray (.egress | default "[]")) ($values.networkPolicy.extraEgress | default list) }}
  egress:
    - ports:
        - {port: 53, protocol: UDP}
        - {port: 53, protocol: TCP}
      to:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: kube-system
    {{- with $egress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
{{- end }}

{{/* Who may scrape: a list of peers. */}}
{{- define "common.scrapers" -}}
{{- toYaml (.Values.networkPolicy.scrapers | default (dig "networkPolicy" "scrapers" list (.Values.global | default dict)) | default (list (dict "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" "monitoring"))))) }}
{{- end }}
