#include "services/api_gateway/schemas.h"

namespace gpu_telemetry::services {
namespace {

constexpr std::string_view kState =
    R"({"type":"string","enum":["live","stale","gone"],
"description":"live up to three scrape intervals after it was last seen (at least 15 s), stale up to ten (at least 30 s), then gone"})";

constexpr std::string_view kGpu = R"({"type":"object",
"required":["uuid","device_id","gpu_index","model_name","hostname","container","pod","namespace",
 "first_seen","last_seen","state","age_seconds","scrape_interval_seconds","labels"],
"properties":{
 "uuid":{"type":"string"},
 "device_id":{"type":"string"},
 "gpu_index":{"type":"string"},
 "model_name":{"type":"string"},
 "hostname":{"type":"string"},
 "container":{"type":"string","description":"Empty: nobody uses it"},
 "pod":{"type":"string"},
 "namespace":{"type":"string"},
 "first_seen":{"type":"string","format":"date-time"},
 "last_seen":{"type":"string","format":"date-time"},
 "state":{"$ref":"#/components/schemas/State"},
 "age_seconds":{"type":"number",
  "description":"Since it was last seen. Below zero: dated ahead of the gateway's clock, so stale"},
 "scrape_interval_seconds":{"type":["number","null"],"description":"The median; null when unknown"},
 "labels":{"type":"object","additionalProperties":{"type":"string"}}},
"examples":[{"uuid":"GPU-05c53b26-67ca-8979-83d1-1568ca69ee65","device_id":"nvidia0","gpu_index":"0",
 "model_name":"NVIDIA H100 80GB HBM3","hostname":"node-001","container":"main","pod":"train-7",
 "namespace":"team-a","first_seen":"2025-07-18T20:42:34Z","last_seen":"2025-07-19T09:13:04Z",
 "state":"live","age_seconds":4.2,"scrape_interval_seconds":10,
 "labels":{"DCGM_FI_DRIVER_VERSION":"535.129.03"}}]})";

constexpr std::string_view kGpuList = R"({"type":"object","required":["gpus","total"],"properties":{
 "gpus":{"type":"array","items":{"$ref":"#/components/schemas/Gpu"}},
 "total":{"type":"integer","minimum":0,"description":"All that match, on whatever page"},
 "next_cursor":{"type":"string"}},
"examples":[{"gpus":[],"total":0}]})";

constexpr std::string_view kLatest = R"({"type":"object",
"required":["gpu_uuid","state","age_seconds","scrape_interval_seconds","last_seen","latest","count"],
"properties":{
 "gpu_uuid":{"type":"string"},
 "state":{"$ref":"#/components/schemas/State"},
 "age_seconds":{"type":"number"},
 "scrape_interval_seconds":{"type":["number","null"]},
 "last_seen":{"type":"string","format":"date-time"},
 "latest":{"type":"array","items":{"type":"object",
  "required":["metric_name","value","timestamp","unit","kind","stale"],"properties":{
   "metric_name":{"type":"string"},
   "value":{"type":"number"},
   "timestamp":{"type":"string","format":"date-time"},
   "unit":{"type":"string"},
   "kind":{"$ref":"#/components/schemas/Kind"},
   "stale":{"type":"boolean"}}}},
 "count":{"type":"integer","minimum":0}},
"examples":[{"gpu_uuid":"GPU-05c53b26-67ca-8979-83d1-1568ca69ee65","state":"live","age_seconds":4.2,
 "scrape_interval_seconds":10,"last_seen":"2025-07-19T09:13:04Z","latest":[{
 "metric_name":"DCGM_FI_DEV_GPU_TEMP","value":61,"timestamp":"2025-07-19T09:13:04Z","unit":"C",
 "kind":"gauge","stale":false}],"count":1}]})";

constexpr std::string_view kKind = R"({"type":"string","enum":["gauge","counter"]})";

constexpr std::string_view kGpuMetrics = R"({"type":"object",
"required":["gpu_uuid","metrics","count"],"properties":{
 "gpu_uuid":{"type":"string"},
 "metrics":{"type":"array","items":{"type":"object",
  "required":["metric_name","unit","kind","help","first_seen","last_seen"],"properties":{
   "metric_name":{"type":"string"},
   "unit":{"type":"string"},
   "kind":{"$ref":"#/components/schemas/Kind"},
   "help":{"type":"string"},
   "first_seen":{"type":"string","format":"date-time"},
   "last_seen":{"type":"string","format":"date-time"}}}},
 "count":{"type":"integer","minimum":0}},
"examples":[{"gpu_uuid":"GPU-05c53b26-67ca-8979-83d1-1568ca69ee65","metrics":[{
 "metric_name":"DCGM_FI_DEV_GPU_TEMP","unit":"C","kind":"gauge","help":"GPU temperature.",
 "first_seen":"2025-07-18T20:42:34Z","last_seen":"2025-07-19T09:13:04Z"}],"count":1}]})";

constexpr std::string_view kAttributionList = R"({"type":"object",
"required":["gpu_uuid","attribution","count"],"properties":{
 "gpu_uuid":{"type":"string"},
 "attribution":{"type":"array","items":{"type":"object",
  "required":["start","end","namespace","pod","container"],"properties":{
   "start":{"type":"string","format":"date-time"},
   "end":{"type":"string","format":"date-time"},
   "namespace":{"type":"string"},
   "pod":{"type":"string"},
   "container":{"type":"string"}}}},
 "count":{"type":"integer","minimum":0}},
"examples":[{"gpu_uuid":"GPU-05c53b26-67ca-8979-83d1-1568ca69ee65","attribution":[{
 "start":"2025-07-18T20:42:34Z","end":"2025-07-19T09:13:04Z","namespace":"team-a","pod":"train-7",
 "container":"main"}],"count":1}]})";

constexpr std::string_view kCatalogue = R"({"type":"object","required":["metrics","count"],
"properties":{
 "metrics":{"type":"array","items":{"type":"object",
  "required":["metric_name","current_name","field_id","unit","kind","type","help",
   "exported_by_default"],"properties":{
   "metric_name":{"type":"string"},
   "current_name":{"type":"string"},
   "field_id":{"type":"integer"},
   "unit":{"type":"string"},
   "kind":{"$ref":"#/components/schemas/Kind"},
   "type":{"type":"string","enum":["int64","double"]},
   "help":{"type":"string"},
   "exported_by_default":{"type":"boolean"}}}},
 "count":{"type":"integer","minimum":0}},
"examples":[{"metrics":[{"metric_name":"DCGM_FI_DEV_GPU_TEMP",
 "current_name":"DCGM_FI_DEV_GPU_TEMP_CELSIUS","field_id":150,"unit":"C","kind":"gauge",
 "type":"int64","help":"GPU temperature.","exported_by_default":true}],"count":1}]})";

constexpr std::string_view kTelemetry = R"({"type":"object",
"required":["gpu_uuid","telemetry","count"],"properties":{
 "gpu_uuid":{"type":"string"},
 "telemetry":{"type":"array","items":{"type":"object",
  "required":["metric_name","value","timestamp"],"properties":{
   "metric_name":{"type":"string"},
   "value":{"type":"number"},
   "timestamp":{"type":"string","format":"date-time"}}}},
 "count":{"type":"integer","minimum":0},
 "next_cursor":{"type":"string"}},
"examples":[{"gpu_uuid":"GPU-05c53b26-67ca-8979-83d1-1568ca69ee65","telemetry":[{
 "metric_name":"DCGM_FI_DEV_GPU_TEMP","value":61,"timestamp":"2025-07-19T09:13:04Z"}],"count":1}]})";

constexpr std::string_view kTelemetrySeries = R"({"type":"object",
"required":["gpu_uuid","series","count"],"properties":{
 "gpu_uuid":{"type":"string"},
 "series":{"type":"array","items":{"type":"object",
  "required":["metric_name","unit","kind","times","values"],"properties":{
   "metric_name":{"type":"string"},
   "unit":{"type":"string"},
   "kind":{"$ref":"#/components/schemas/Kind"},
   "times":{"type":"array","items":{"type":"integer"},"description":"Unix milliseconds"},
   "values":{"type":"array","items":{"type":"number"}}}}},
 "count":{"type":"integer","minimum":0,"description":"Of values"},
 "next_cursor":{"type":"string"}},
"examples":[{"gpu_uuid":"GPU-05c53b26-67ca-8979-83d1-1568ca69ee65","series":[{
 "metric_name":"DCGM_FI_DEV_GPU_TEMP","unit":"C","kind":"gauge","times":[1752916384000],
 "values":[61]}],"count":1}]})";

constexpr std::string_view kFleetLatest = R"({"type":"object",
"required":["time","metrics","gpus","total"],"properties":{
 "time":{"type":"string","format":"date-time"},
 "metrics":{"type":"array","items":{"type":"string"}},
 "gpus":{"type":"array","items":{"type":"object",
  "required":["uuid","hostname","gpu_index","model_name","namespace","pod","state","last_seen",
   "values"],"properties":{
   "uuid":{"type":"string"},
   "hostname":{"type":"string"},
   "gpu_index":{"type":"string"},
   "model_name":{"type":"string"},
   "namespace":{"type":"string"},
   "pod":{"type":"string"},
   "state":{"$ref":"#/components/schemas/State"},
   "last_seen":{"type":"string","format":"date-time"},
   "values":{"type":"array","items":{"type":["number","null"]}}}}},
 "total":{"type":"integer","minimum":0}},
"examples":[{"time":"2025-07-19T09:13:08Z","metrics":["DCGM_FI_DEV_GPU_UTIL"],"gpus":[{
 "uuid":"GPU-05c53b26-67ca-8979-83d1-1568ca69ee65","hostname":"node-001","gpu_index":"0",
 "model_name":"NVIDIA H100 80GB HBM3","namespace":"team-a","pod":"train-7","state":"live",
 "last_seen":"2025-07-19T09:13:04Z","values":[97]}],"total":1}]})";

constexpr std::string_view kFleetSummary = R"({"type":"object",
"required":["time","gpus","hosts","utilization_avg","power_watts","memory_used_mib",
 "memory_total_mib","hottest","namespaces","models"],"properties":{
 "time":{"type":"string","format":"date-time"},
 "gpus":{"type":"object","required":["total","live","stale","gone"],"properties":{
  "total":{"type":"integer"},"live":{"type":"integer"},"stale":{"type":"integer"},
  "gone":{"type":"integer"}}},
 "hosts":{"type":"integer","minimum":0},
 "utilization_avg":{"type":["number","null"]},
 "power_watts":{"type":["number","null"]},
 "memory_used_mib":{"type":["number","null"]},
 "memory_total_mib":{"type":["number","null"]},
 "hottest":{"type":["object","null"],"required":["uuid","hostname","gpu_index","celsius"],
  "properties":{"uuid":{"type":"string"},"hostname":{"type":"string"},
  "gpu_index":{"type":"string"},"celsius":{"type":"number"}}},
 "namespaces":{"type":"array","items":{"type":"object","required":["namespace","gpus"],
  "properties":{"namespace":{"type":"string"},"gpus":{"type":"integer"}}}},
 "models":{"type":"array","items":{"type":"object","required":["model_name","gpus"],
  "properties":{"model_name":{"type":"string"},"gpus":{"type":"integer"}}}}},
"examples":[{"time":"2025-07-19T09:13:08Z","gpus":{"total":8,"live":7,"stale":1,"gone":0},"hosts":1,
 "utilization_avg":81.5,"power_watts":3120.4,"memory_used_mib":402133,"memory_total_mib":652472,
 "hottest":{"uuid":"GPU-05c53b26-67ca-8979-83d1-1568ca69ee65","hostname":"node-001",
 "gpu_index":"0","celsius":71},"namespaces":[{"namespace":"team-a","gpus":8}],
 "models":[{"model_name":"NVIDIA H100 80GB HBM3","gpus":8}]}]})";

constexpr std::string_view kFleetTelemetry = R"({"type":"object",
"required":["metric_name","unit","kind","step_seconds","by","series","count"],"properties":{
 "metric_name":{"type":"string"},
 "unit":{"type":"string"},
 "kind":{"$ref":"#/components/schemas/Kind"},
 "step_seconds":{"type":"number"},
 "by":{"type":"string","enum":["gpu","hostname","model_name","namespace","pod","all"]},
 "series":{"type":"array","items":{"type":"object","required":["key","gpus","times","values"],
  "properties":{
   "key":{"type":"string"},
   "namespace":{"type":"string","description":"By pod: the pod's"},
   "hostname":{"type":"string","description":"By GPU: the GPU's"},
   "gpu_index":{"type":"string","description":"By GPU: the GPU's"},
   "gpus":{"type":"integer","minimum":0},
   "times":{"type":"array","items":{"type":"integer"},"description":"Unix milliseconds"},
   "values":{"type":"array","items":{"type":"number"}}}}},
 "count":{"type":"integer","minimum":0,"description":"Of series"}},
"examples":[{"metric_name":"DCGM_FI_DEV_GPU_UTIL","unit":"%","kind":"gauge","step_seconds":60,
 "by":"hostname","series":[{"key":"node-001","gpus":8,"times":[1752916380000],"values":[81.5]}],
 "count":1}]})";

constexpr std::string_view kPipeline = R"({"type":"object",
"required":["time","queue","rates","depth","oldest_age_seconds","in_flight","dead","streamers",
 "collectors"],"properties":{
 "time":{"type":"string","format":"date-time"},
 "queue":{"type":"object","required":["configured","reachable","topics"],"properties":{
  "configured":{"type":"boolean"},
  "reachable":{"type":"boolean"},
  "error":{"type":"string"},
  "topics":{"type":"array","items":{"type":"object","required":["topic","messages","bytes","groups"],
   "properties":{"topic":{"type":"string"},"messages":{"type":"integer"},
   "bytes":{"type":"integer"},"groups":{"type":"array","items":{"type":"object"}}}}}}},
 "rates":{"type":"object",
  "required":["published_per_second","acked_per_second","samples_stored_per_second"],"properties":{
  "published_per_second":{"type":["number","null"]},
  "acked_per_second":{"type":["number","null"]},
  "samples_stored_per_second":{"type":["number","null"]}}},
 "depth":{"type":["integer","null"],"description":"Messages that are held"},
 "oldest_age_seconds":{"type":["number","null"]},
 "in_flight":{"type":["integer","null"]},
 "dead":{"type":["integer","null"]},
 "streamers":{"type":["integer","null"]},
 "collectors":{"type":["integer","null"]}},
"examples":[{"time":"2025-07-19T09:13:08Z","queue":{"configured":true,"reachable":true,"topics":[]},
 "rates":{"published_per_second":12.5,"acked_per_second":12.5,"samples_stored_per_second":12400},
 "depth":3,"oldest_age_seconds":0.08,"in_flight":3,"dead":0,"streamers":null,"collectors":2}]})";

constexpr std::string_view kDeadLetters = R"({"type":"object","required":["messages","count"],
"properties":{
 "messages":{"type":"array","items":{"type":"object",
  "required":["message_id","headers","timestamp","died_at","delivery_count","reason"],"properties":{
   "message_id":{"type":"string"},
   "payload":{"type":"string"},
   "payload_base64":{"type":"string","description":"In place of payload when it is not text"},
   "headers":{"type":"object","additionalProperties":{"type":"string"}},
   "timestamp":{"type":"string","format":"date-time"},
   "died_at":{"type":"string","format":"date-time"},
   "delivery_count":{"type":"integer","minimum":0},
   "reason":{"type":"string"}}}},
 "count":{"type":"integer","minimum":0}},
"examples":[{"messages":[],"count":0}]})";

constexpr std::string_view kDeadLetterChoice = R"({"type":"object",
"required":["topic","consumer_group"],"properties":{
 "topic":{"type":"string","pattern":"^[A-Za-z0-9._-]{1,100}$"},
 "consumer_group":{"type":"string","pattern":"^[A-Za-z0-9._-]{1,100}$"},
 "message_ids":{"type":"array","items":{"type":"string"},"minItems":1,
  "maxItems":10000}},
"additionalProperties":false,
"examples":[{"topic":"telemetry","consumer_group":"collectors"}]})";

constexpr std::string_view kDeadLetterCount = R"({"type":"object","required":["status","count"],
"properties":{"status":{"type":"string","enum":["success"]},
 "count":{"type":"integer","minimum":0}},
"examples":[{"status":"success","count":3}]})";

constexpr NamedSchema kSchemas[] = {
    {"State", kState},
    {"Kind", kKind},
    {"Gpu", kGpu},
    {"GpuList", kGpuList},
    {"Latest", kLatest},
    {"GpuMetrics", kGpuMetrics},
    {"AttributionList", kAttributionList},
    {"Catalogue", kCatalogue},
    {"Telemetry", kTelemetry},
    {"TelemetrySeries", kTelemetrySeries},
    {"FleetLatest", kFleetLatest},
    {"FleetSummary", kFleetSummary},
    {"FleetTelemetry", kFleetTelemetry},
    {"Pipeline", kPipeline},
    {"DeadLetters", kDeadLetters},
    {"DeadLetterChoice", kDeadLetterChoice},
    {"DeadLetterCount", kDeadLetterCount},
};

}  // namespace

std::span<const NamedSchema> api_schemas() { return kSchemas; }

}  // namespace gpu_telemetry::services
