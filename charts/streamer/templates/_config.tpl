{{- define "streamer.config" -}}
METRICS_HOST: 0.0.0.0
METRICS_PORT: "9090"
{{- if not .Values.config.QUEUE_SERVICE_URL }}
QUEUE_SERVICE_URL: {{ include "common.scheme" . }}://queue-service:8080
{{- end }}
{{- if or .Values.csv.content .Values.csv.volume }}
CSV_PATH: /data/{{ .Values.csv.file }}
{{- end }}
{{- end }}
