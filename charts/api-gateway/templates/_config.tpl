{{- define "api-gateway.config" -}}
API_HOST: 0.0.0.0
API_PORT: "8080"
{{- if eq .Values.config.QUEUE_SERVICE_URL "none" }}
QUEUE_SERVICE_URL: ""
{{- else if not .Values.config.QUEUE_SERVICE_URL }}
QUEUE_SERVICE_URL: {{ include "common.scheme" . }}://queue-service:8080
{{- end }}
{{- end }}
