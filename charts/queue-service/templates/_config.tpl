{{- define "queue-service.config" -}}
QUEUE_HOST: 0.0.0.0
QUEUE_PORT: "8080"
{{- if eq .Values.config.QUEUE_ENGINE "durable" }}
QUEUE_DATA_DIR: /var/lib/gpu-telemetry/queue
{{- end }}
{{- if .Values.redis.caSecret }}
REDIS_TLS: "true"
{{- end }}
{{- end }}
