{{- define "starbridge.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "starbridge.labels" -}}
app.kubernetes.io/name: starbridge
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "starbridge.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* The control plane's secrets: folder in the pod → Secret. There is no way to serve without the first two. */ -}}
{{- define "starbridge.control.secrets" -}}
{{- $way := "or set control.replicas to 0 to do without the control plane" -}}
tls: {{ required (printf "control.tlsSecret must name a Secret with tls.crt and tls.key, %s" $way) .Values.control.tlsSecret }}
signing: {{ required (printf "control.signingKeySecret must name a Secret with signing-key, %s" $way) .Values.control.signingKeySecret }}
{{- with .Values.control.clientCaSecret }}
client-ca: {{ . }}
{{- end }}
{{- with .Values.control.bootstrapSecret }}
bootstrap: {{ . }}
{{- end }}
{{- end -}}
