{{/* The members of the replica set, HOST:PORT with commas between; the names are those within the
namespace. */}}
{{- define "mongodb.members" -}}
{{- $name := include "common.name" . -}}
{{- range $i := until (int .Values.replicas) -}}
{{ if $i }},{{ end }}{{ $name }}-{{ $i }}.{{ $name }}:27017
{{- end -}}
{{- end }}
